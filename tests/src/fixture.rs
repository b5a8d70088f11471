//! A started host, and a reference that knows the right answers.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use isotherm_hosts::{Platform, Remote, Up};
use tokio::runtime::Runtime;

use crate::client::{Answer, Ask, send, send_raw};
use crate::reference::{Reference, SECRET, SECRET_VARIABLE};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("the tests get threads"));

/// The keys of [`Fixture::keyed`], with their SHA-256, tenants and scopes.
const KEYS: [(&str, &str, &str, &str); 5] = [
    ("acme writes events", "5dbde737f8598eb030464eb5eb27696837e542c958d536ca388eb6f683097143", "acme", "write"),
    ("acme reads reports", "035ca5336fd81a95d7045618baa7e8a25ac1d615b2dca4effe9594158ba53481", "acme", "read"),
    ("acme does both of it", "dbd6c4ec6884754cc696beb88b321662b27124c6cdd8f1238c4c366d6d977484", "acme", "both"),
    ("acme operates it all", "57e0707d59b253d9d6a9eca905cc47209f7ddca808396fdfca5e4ca41b401896", "acme", "operate"),
    ("globex does both", "da163b025bde382448ef2827682f57add1ea42770e66a816d03fdddbb40dc123", "globex", "both"),
];

/// Headers that a host may add to core's: those of HTTP's connections, API Gateway's id, and those that tell the state of a rate
/// limit, which only the host knows. All other headers must equal the reference's, in name and in value.
const ADDED_BY_HOSTS: [&str; 9] = [
    "apigw-requestid",
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "transfer-encoding",
    "ratelimit",
    "ratelimit-policy",
    "x-ratelimit-reset",
];

/// A host of the artifact set `test`.
pub struct Fixture {
    /// Its port on 127.0.0.1.
    pub port: u16,
    reference: Reference,
    /// Held because the host stops when this is dropped, which is when the process of the tests ends.
    _remote: Option<Remote>,
}

/// How `isotherm up` starts a platform here. If the program and its artifacts are not in the workspace's target
/// folder, the environment variables ISOTHERM_PROGRAM and ISOTHERM_ARTIFACTS name them. ISOTHERM_CLUSTER makes Workers a
/// cluster of as many instances.
pub fn up(platform: Platform, set: &str) -> Up {
    let mut up = Up::new(program(), platform, place("ISOTHERM_ARTIFACTS", "artifacts"));
    up.set = set.to_owned();
    up.cluster = std::env::var("ISOTHERM_CLUSTER")
        .ok()
        .map(|instances| instances.parse().expect("ISOTHERM_CLUSTER is a number"));
    up.environment.push((SECRET_VARIABLE.to_owned(), SECRET.to_owned()));
    up
}

/// The program `isotherm`.
pub(crate) fn program() -> PathBuf {
    place("ISOTHERM_PROGRAM", "release/isotherm")
}

/// How `isotherm up` starts a platform with [`KEYS`].
fn keys(platform: Platform) -> Up {
    let keys =
        KEYS.map(|(_, sha256, tenant, scope)| serde_json::json!({"sha256": sha256, "tenant": tenant, "scope": scope}));
    Up { config: serde_json::json!({ "keys": keys }).to_string(), ..up(platform, "test") }
}

/// What the environment variable names, or its usual place in the target folder.
fn place(variable: &str, usual: &str) -> PathBuf {
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
    std::env::var_os(variable).map_or_else(|| PathBuf::from(format!("{target}/{usual}")), PathBuf::from)
}

/// Runs a case's asynchronous work to its end.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

/// Starts a host. Returns the port on which it answers.
pub async fn start(up: &Up) -> (u16, Remote) {
    let remote = up.start().await.unwrap_or_else(|error| panic!("{error:#}"));
    (port_of(remote.url()), remote)
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{url} has no port"))
}

/// All values of a header.
fn values<'a>(headers: impl Iterator<Item = (&'a str, &'a String)>, name: &str) -> Vec<&'a str> {
    headers.filter(|(known, _)| *known == name).map(|(_, value)| value.as_str()).collect()
}

impl Fixture {
    /// The open host that all cases of one test program share.
    pub fn open(platform: Platform) -> &'static Self {
        static OPEN: OnceLock<Fixture> = OnceLock::new();
        OPEN.get_or_init(|| match std::env::var("ISOTHERM_TARGET") {
            // Another server answers at this URL, with the artifacts of this platform.
            Ok(url) => Self { port: port_of(&url), reference: Reference::new(isotherm_hosts::OPEN), _remote: None },
            Err(_) => Self::new(&up(platform, "test")),
        })
    }

    /// The host with keys, which all cases of one test program share.
    pub fn keyed(platform: Platform) -> &'static Self {
        static KEYED: OnceLock<Fixture> = OnceLock::new();
        KEYED.get_or_init(|| Self::with_keys(platform))
    }

    /// A host with these keys of its own.
    pub(crate) fn with_keys(platform: Platform) -> Self {
        Self::new(&keys(platform))
    }

    /// The same, with its data in this folder.
    pub(crate) fn with_keys_in(platform: Platform, data: &Path) -> Self {
        Self::new(&Up { data: Some(data.to_owned()), ..keys(platform) })
    }

    /// The same, where the tenant `acme` is frozen.
    pub(crate) fn frozen_in(platform: Platform, data: &Path) -> Self {
        let keys = keys(platform);
        let config = keys.config.replacen('{', r#"{"frozen":["acme"],"#, 1);
        Self::new(&Up { config, data: Some(data.to_owned()), ..keys })
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A host with this text as its configuration.
    pub fn configured(platform: Platform, config: &str) -> Self {
        Self::new(&Up { config: config.to_owned(), ..up(platform, "test") })
    }

    pub(crate) fn new(up: &Up) -> Self {
        let (port, remote) = block_on(start(up));
        Self { port, reference: Reference::new(&up.config), _remote: Some(remote) }
    }

    /// Sends `ask` and checks that the answer equals the reference's, to the byte.
    #[track_caller]
    pub fn ask(&self, ask: &Ask) -> Answer {
        self.check(ask, self.send(ask))
    }

    /// Sends these bytes, which mean `ask`, and checks the answer likewise.
    #[track_caller]
    pub fn ask_raw(&self, bytes: &[u8], ask: &Ask) -> Answer {
        self.check(ask, self.send_raw(bytes))
    }

    #[track_caller]
    fn check(&self, ask: &Ask, answer: Answer) -> Answer {
        let expected = self.reference.answer(ask);
        let body = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
        let said = format!("{} {}", ask.method, ask.target);
        assert_eq!((answer.status, body(&answer.body)), (expected.status, body(&expected.body)), "{said}");
        assert!(answer.body == expected.body, "{said}: bodies differ after the first 2000 bytes");
        for (name, _) in &expected.headers {
            let answered: Vec<&str> = values(answer.headers.iter().map(|(known, value)| (known.as_str(), value)), name);
            let right: Vec<&str> = values(expected.headers.iter().map(|(known, value)| (*known, value)), name);
            assert_eq!(answered, right, "{said}: header {name}");
        }
        for (name, value) in &answer.headers {
            let is_known = expected.headers.iter().any(|(known, _)| known == name);
            // API Gateway gives a type to what has no content.
            let is_added = ADDED_BY_HOSTS.contains(&name.as_str()) || (name == "content-type" && answer.status == 204);
            assert!(is_known || is_added, "{said}: header {name}: {value}");
        }
        answer
    }

    /// Tells the reference about a request that the host got by another way.
    pub(crate) fn tell_reference(&self, ask: &Ask) {
        let _known = self.reference.answer(ask);
    }

    /// Sends these bytes and accepts any answer.
    #[track_caller]
    pub fn send_raw(&self, bytes: &[u8]) -> Answer {
        let bytes_of = || String::from_utf8_lossy(bytes).into_owned();
        block_on(send_raw(self.port, bytes)).unwrap_or_else(|error| panic!("{:?}: {error:#}", bytes_of()))
    }

    /// Sends `ask` and accepts any answer.
    #[track_caller]
    pub fn send(&self, ask: &Ask) -> Answer {
        block_on(send(self.port, ask)).unwrap_or_else(|error| panic!("{} {}: {error:#}", ask.method, ask.target))
    }
}
