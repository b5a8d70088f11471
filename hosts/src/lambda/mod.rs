//! AWS Lambda on this machine: the real Runtime API between the functions and an emulated API Gateway and DynamoDB.
//!
//! ```text
//! client ──HTTP──▶ gateway ──event──▶ function ──▶ environment ──Runtime API──▶ process (bootstrap as ingest, read or report)
//!                (payload) │          (which of its environments)                 │
//!                          ▼                                          dynamodb ◀──┘ HTTP
//!                   queues (sqs)                                         │ stream
//!                          │                           aggregate ◀── mapping
//!        drain ◀── queue_mapping                           │
//!                                                          └──HTTP──▶ s3, sqs
//!     schedule ◀── schedule (once a minute), queue_mapping (what mapping has given up)
//! ```
//!
//! The artifact is the program `bootstrap`, which contains all seven functions. `_HANDLER` tells a process which one to
//! run. Another implementation's artifact may be the program `ingest`, which is that function alone. It gets its events
//! over HTTP and both stores, nothing else.
//!
//! This is not AWS: there is no microVM, no code download and no network, and memory and CPU are not limited. A
//! function with [`Limits::concurrency`] environments queues further requests instead of starting a thousand more.

mod clock;
mod dynamodb;
mod dynamodb_http;
mod environment;
mod function;
mod gateway;
mod kept;
mod mapping;
mod payload;
mod peer;
mod poller;
mod queue_mapping;
mod queues;
mod runtime_api;
mod schedule;
mod sqs;
mod stream;
mod target;
mod throughput;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use hyper::body::Bytes;
use hyper::header::HeaderName;
use hyper::{HeaderMap, Method, Uri};

use self::dynamodb::DynamoDb;
use self::environment::{Environment, Failure, Init, Launch, Logs};
use self::function::Function;
use self::gateway::Gateway;
use self::mapping::{Mapping, MappingSettings};
use self::peer::Peer;
use self::queue_mapping::{QueueMapping, QueueMappingSettings};
use self::queues::Queues;
use self::stream::StreamSettings;
use self::target::Target;
use crate::lines::log;
use crate::s3::{self, S3};
use crate::schedule::Schedule;
use crate::server::Server;
use crate::{ColdRequest, ColdSample, Meters, Options, Runtime, Usage};

/// The limits of a function, in Lambda's terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Environments at the same time, Lambda's reserved concurrency. The default is low because each uses as much of
    /// this machine as it wants.
    pub(crate) concurrency: usize,
    /// How long a request may wait for an environment before it is throttled. Lambda throttles at once, but only when a
    /// client has used up a thousand environments.
    pub(crate) queue: Duration,
    /// How long an environment may take to ask for its first invocation, as on Lambda.
    pub(crate) init: Duration,
    /// How long one invocation may take.
    pub(crate) timeout: Duration,
    /// How long an environment stays frozen without work before it is reclaimed.
    pub(crate) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 10,
            queue: Duration::from_secs(10),
            init: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            idle: Duration::from_secs(5 * 60),
        }
    }
}

/// How long one batch of the stream, or one run of the schedule, may take.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(60);
/// The functions that the gateway's routes, the event source mappings and the schedule invoke. The flag says whether a
/// function answers requests, which wait no longer than the gateway does.
const FUNCTIONS: [(&str, bool); 7] = [
    ("ingest", true),
    ("read", true),
    ("report", true),
    ("move", true),
    ("aggregate", false),
    ("drain", true),
    ("schedule", false),
];
/// The environment variable with the path of cargo-lambda. If set, its emulator replaces this host's Runtime API.
const PEER: &str = "ISOTHERM_CARGO_LAMBDA";

/// The functions, the services in front of them, and the services behind them.
pub(crate) struct LambdaHost {
    gateway: Gateway,
    triggers: Option<Triggers>,
    backend: Arc<Backend>,
    queues: Queues,
    /// The servers of S3 and SQS.
    _servers: (S3, Server),
    dynamodb: DynamoDb,
}

/// Triggers that invoke functions without a request.
struct Triggers {
    mapping: Mapping,
    queue_mappings: [QueueMapping; 2],
    schedule: Schedule,
}

impl Triggers {
    fn start(backend: &Arc<Backend>, dynamodb: &DynamoDb, queues: &Queues, data: &Path) -> Result<Self> {
        let target = |name| Arc::new(Named(Arc::clone(backend), name));
        let settings = MappingSettings::of_environment();
        log!("the stream's windows are of {:?}", settings.tumbling_window);
        let mapping = Mapping::start(dynamodb.stream(), target("aggregate"), queues.clone(), data, settings)?;
        let queue_mappings = [(queues::EVENTS, "drain"), (queues::GIVEN_UP, "schedule")].map(|(queue, name)| {
            QueueMapping::start(queues.clone(), queue, target(name), QueueMappingSettings::default())
        });
        Ok(Self { mapping, queue_mappings, schedule: schedule::rule(target("schedule")) })
    }

    async fn stop(self) {
        self.schedule.stop().await;
        self.mapping.stop().await;
        for mapping in self.queue_mappings {
            mapping.stop().await;
        }
    }
}

/// The target of the gateway's routes, the event source mappings and the schedule.
pub(crate) enum Backend {
    /// The functions of the adapter.
    Functions(Functions),
    /// The same functions under another implementation of Lambda.
    Peer(Box<Peer>),
}

impl Backend {
    /// Whether there is a function with this name. The peer always runs complete artifacts.
    fn has(&self, name: &str) -> bool {
        match self {
            Self::Functions(functions) => functions.named(name).is_some(),
            Self::Peer(_) => true,
        }
    }
}

/// The functions of the artifact by name. Each has its own environments.
pub(crate) struct Functions(BTreeMap<&'static str, Arc<Function>>);

impl Functions {
    /// The function with this name. An artifact with `ingest` alone has no other.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Function>> {
        self.0.get(name)
    }
}

/// One function, for triggers that don't come over HTTP.
struct Named(Arc<Backend>, &'static str);

impl Target for Named {
    async fn invoke(&self, event: Bytes) -> Result<Bytes, Failure> {
        let Self(backend, name) = self;
        match &**backend {
            Backend::Functions(functions) => match functions.named(name) {
                Some(function) => function.invoke(event).await,
                None => Err(Failure::Host(anyhow!("the artifact has no function {name}"))),
            },
            Backend::Peer(peer) => peer.invoke(name, event).await.map_err(Failure::Host),
        }
    }
}

impl LambdaHost {
    pub(crate) async fn start(options: &Options, data: &Path) -> Result<Self> {
        let dynamodb = DynamoDb::start(data, StreamSettings::of_environment())?;
        let queues = Queues::open(data)?;
        let (s3, sqs) = (s3::start(&data.join(s3::BACKUP), s3::BUCKET).await?, sqs::start(queues.clone()).await?);
        let variables = variables(&options.config, dynamodb.url(), s3.url(), sqs.url());
        let (all, ingest) = (options.artifact.join("bootstrap"), options.artifact.join("ingest"));
        let is_whole = all.exists() || !ingest.exists();
        let binary = if is_whole { all } else { ingest };
        let functions = FUNCTIONS.into_iter().filter(|(name, _)| is_whole || *name == "ingest");
        let launches = functions.map(|(name, is_asked)| {
            let timeout = if is_asked { Limits::default().timeout } else { BACKGROUND_TIMEOUT };
            let limits = Limits { timeout, ..Limits::default() };
            Launch::new(name, &binary, variables.clone(), limits)
        });
        let launches = launches.collect::<Result<Vec<_>>>()?;
        let backend = match std::env::var_os(PEER) {
            Some(program) => Backend::Peer(Box::new(Peer::start(Path::new(&program), &launches).await?)),
            None => {
                let functions = launches.into_iter().map(|launch| (launch.name, Function::new(launch)));
                Backend::Functions(Functions(functions.collect()))
            }
        };
        let backend = Arc::new(backend);
        let gateway = Gateway::start(options.port, Arc::clone(&backend), queues.clone(), options.log_requests).await?;
        let triggers = is_whole.then(|| Triggers::start(&backend, &dynamodb, &queues, data)).transpose()?;
        Ok(Self { gateway, triggers, backend, queues, _servers: (s3, sqs), dynamodb })
    }

    pub(crate) fn url(&self) -> String {
        self.gateway.url()
    }

    pub(crate) fn runtime(&self) -> Runtime {
        let name = match *self.backend {
            Backend::Functions(_) => "Lambda Runtime API (isotherm-hosts)",
            Backend::Peer(_) => "Lambda Runtime API (cargo-lambda)",
        };
        Runtime { name: name.to_owned(), version: "2018-06-01".to_owned() }
    }

    /// Starts a new environment for this request alone. `first_response` ends when the complete answer has left the
    /// function, because API Gateway passes nothing on before.
    pub(crate) async fn cold(&self, request: &ColdRequest) -> Result<ColdSample> {
        let Backend::Functions(functions) = &*self.backend else {
            bail!("cold starts are measured on this host's own Runtime API: unset {PEER}");
        };
        let method: Method = request.method.parse().with_context(|| format!("{} is no HTTP method", request.method))?;
        let uri: Uri = request.path.parse().with_context(|| format!("{} is no path", request.path))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            headers.append(name.parse::<HeaderName>()?, value.parse()?);
        }
        let event = payload::event(&method, &uri, &headers, request.body.as_bytes())?;
        let name = gateway::route(&method, uri.path());
        let function = functions.named(name).with_context(|| format!("the artifact has no function {name}"))?;
        let (mut environment, Init { spawned, ready }) = Environment::start(function.launch(), Logs::Kept).await?;
        let answered = match environment.invoke(event).await {
            Ok(answer) => payload::response(&answer).map(|response| (response.status(), spawned.elapsed())),
            Err(failure) => Err(anyhow!("{failure}{}", environment.kept_logs().await)),
        };
        environment.end().await;
        let (status, first_response) = answered.with_context(|| format!("{} {}", request.method, request.path))?;
        Ok(ColdSample { init: ready.duration_since(spawned), first_response, status: status.as_u16() })
    }

    /// The usage of all environments that served requests and batches, including ended ones. Environments of
    /// [`LambdaHost::cold`] don't count.
    pub(crate) fn usage(&self) -> Usage {
        match &*self.backend {
            Backend::Functions(functions) => functions.0.values().map(|function| function.usage()).sum(),
            Backend::Peer(peer) => peer.usage(),
        }
    }

    /// All invocations, and all operations on the stores.
    pub(crate) async fn meters(&self, data: &Path) -> Result<Meters> {
        let mut meters = Meters::default();
        if let Backend::Functions(functions) = &*self.backend {
            let invocations = functions.0.iter().map(|(name, function)| ((*name).to_owned(), function.invocations()));
            meters.functions = invocations.collect();
            meters.log_bytes = functions.0.values().map(|function| function.launch().log_bytes()).sum();
        }
        self.dynamodb.add_to(&mut meters)?;
        meters.stream_records = self.triggers.as_ref().map_or(0, |triggers| triggers.mapping.records());
        meters.queue_operations = self.queues.operations();
        (meters.objects, meters.object_bytes) = s3::objects(&data.join(s3::BACKUP), s3::BUCKET)?;
        Ok(meters)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.gateway.stop().await;
        if let Some(triggers) = self.triggers {
            triggers.stop().await;
        }
        match Arc::into_inner(self.backend) {
            Some(Backend::Functions(functions)) => {
                for function in functions.0.values() {
                    function.stop().await;
                }
            }
            Some(Backend::Peer(peer)) => peer.stop().await?,
            // A request has outlived the gateway's grace period. Its processes are killed when the backend is dropped.
            None => {}
        }
        self.dynamodb.stop().await
    }
}

/// Names the object that holds the configuration, if this host itself has the variable: `s3://<bucket>/<key>`. A bucket
/// is a folder of this name in `data/backup`.
const CONFIG_OBJECT: &str = "ISOTHERM_CONFIG_S3";

/// The environment variables that an operator sets for the functions, and the endpoints of the emulated services.
fn variables(config: &str, dynamodb: &str, s3: &str, sqs: &str) -> Vec<(String, String)> {
    let object = std::env::var(CONFIG_OBJECT).unwrap_or_default();
    [
        ("ISOTHERM_CONFIG", config),
        (CONFIG_OBJECT, &object),
        ("ISOTHERM_TABLE", dynamodb::EVENTS),
        ("ISOTHERM_ROLLUPS", dynamodb::ROLLUPS),
        ("ISOTHERM_BACKUP_BUCKET", s3::BUCKET),
        ("ISOTHERM_DEAD_LETTERS", &sqs::url(sqs, queues::RECORDS_DEAD)),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", dynamodb),
        ("AWS_ENDPOINT_URL_S3", s3),
        ("AWS_ENDPOINT_URL_SQS", sqs),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .chain(crate::secrets())
    .collect()
}

/// A copy of this program's standard error. The functions' output goes there, as it would go to CloudWatch, because
/// standard output belongs to the host.
fn log_stream() -> Result<Stdio> {
    use std::os::fd::AsFd as _;
    Ok(std::io::stderr().as_fd().try_clone_to_owned().context("cannot share standard error")?.into())
}
