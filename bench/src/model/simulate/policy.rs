//! Policies: a platform and how it is run, such as `lambda,provisioned=5`.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use crate::model::cost::design::Design;
use crate::model::cost::given::NODE;
use crate::model::simulate::draw::{Draw, Sourced};
use crate::model::simulate::from::{Measured, Measurements};
use crate::model::simulate::options::Options;
use crate::model::simulate::time::Micros;
use crate::model::simulate::{containers, fleet, published};

/// The default policies.
pub(crate) const DEFAULT: [&str; 6] =
    ["lambda", "lambda,provisioned=5", "lambda,ping=5m", "workers", "container,nodes=1", "container,nodes=0..4"];

/// A policy as `--policy` names it, before the other flags are applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    text: String,
    given: Given,
    kind: Kind,
}

/// A policy's own distributions.
#[derive(Clone, Debug, PartialEq)]
struct Given {
    service: Option<Sourced>,
    init: Option<Sourced>,
    keep_alive: Option<Sourced>,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Lambda { provisioned: u32, pings: Option<fleet::Pings>, memory_mb: Option<u32>, arch: Option<String> },
    Workers { concurrency: u32, locations: u32, cpu: Option<Micros> },
    Container { design: Design, rules: containers::Rules, node: String, paid: Option<u32> },
}

/// The values of the other flags, for policies without values of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    pub service: Option<Sourced>,
    /// For Lambda.
    pub init: Option<Sourced>,
    /// For Lambda.
    pub keep_alive: Option<Sourced>,
    /// The measurements of a run.
    pub measured: Measurements,
    /// Whether the trace gives a service time for each request.
    pub trace_has_service: bool,
}

/// A policy, ready to be replayed and priced.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// The text of the flag.
    pub name: String,
    pub model: Model,
    /// `None` takes the service time from the trace.
    pub service: Option<Draw>,
    pub pricing: Pricing,
    /// The source of each value, by the name of the value.
    pub sources: BTreeMap<&'static str, String>,
}

/// The model of its instances.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    Fleet(fleet::Rules),
    Containers(containers::Rules),
}

/// What is billed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pricing {
    /// Without memory or an architecture of its own it has those of the design.
    Lambda { memory_mb: Option<u32>, arch: Option<String>, provisioned: u32 },
    /// Without CPU time of its own it has that of the design.
    Workers { cpu_ms: Option<f64> },
    /// The node by its name in the price book, with what runs on it. `paid` nodes are paid for all the time, whatever is
    /// scaled on them; `None` pays for what is there.
    Nodes { design: Design, node: String, paid: Option<u32> },
}

impl FromStr for Spec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (platform, options) = text.split_once(',').unwrap_or((text, ""));
        let mut options = Options::parse(options)?;
        let kind = match platform {
            "lambda" => lambda(&mut options)?,
            "workers" => Kind::Workers {
                concurrency: options.count("concurrency", 1, 1_000_000)?.unwrap_or(100),
                locations: options.count("locations", 1, 10_000)?.unwrap_or(1),
                cpu: options.time("cpu")?,
            },
            "container" => container(Design::Native, &mut options)?,
            "spin" => container(Design::Spin, &mut options)?,
            "managed" => container(Design::Managed, &mut options)?,
            "keda" => keda(&mut options)?,
            _ => bail!(
                "{text:?} is no policy: give lambda, managed, workers, spin, keda or container with options, such as \
                 lambda,provisioned=5, lambda,ping=5m, workers,locations=20, keda,pods=0..10 or container,nodes=2..10"
            ),
        };
        let has_instances_of_its_own = !matches!(kind, Kind::Container { .. });
        let given = Given {
            service: options.draw("service")?,
            init: if has_instances_of_its_own { options.draw("init")? } else { options.draw("start")? },
            keep_alive: if has_instances_of_its_own { options.draw("keep-alive")? } else { None },
        };
        options.finish(platform)?;
        Ok(Self { text: text.to_owned(), given, kind })
    }
}

fn lambda(options: &mut Options<'_>) -> Result<Kind> {
    let every = options.period("ping")?;
    let count = options.count("pings", 1, 1000)?;
    let service = options.time("ping-service")?;
    ensure!(every.is_some() || (count.is_none() && service.is_none()), "pings and ping-service need ping=TIME");
    let ping =
        |every| fleet::Pings { every, count: count.unwrap_or(1), service: service.unwrap_or(Micros::from_ms(1.0)) };
    let arch = options.text("arch");
    ensure!(arch.as_deref().is_none_or(|arch| ["x86", "arm"].contains(&arch)), "arch: must be x86 or arm");
    Ok(Kind::Lambda {
        provisioned: options.count("provisioned", 1, 100_000)?.unwrap_or(0),
        pings: every.map(ping),
        memory_mb: options.count("memory", 128, 10_240)?,
        arch,
    })
}

fn container(design: Design, options: &mut Options<'_>) -> Result<Kind> {
    let range = if design == Design::Managed { MANAGED } else { (1, 1) };
    let nodes = options.range("nodes", u32::from(design == Design::Managed), 100_000)?.unwrap_or(range);
    let rules = rules(nodes, Micros(15_000_000), options)?;
    Ok(Kind::Container { design, rules, node: node(options), paid: None })
}

/// Pods of Spin that KEDA scales, to none without requests, on nodes that stay.
fn keda(options: &mut Options<'_>) -> Result<Kind> {
    let pods = options.range("pods", 0, 100_000)?.unwrap_or((0, 10));
    let paid = Some(options.count("nodes", 1, 100_000)?.unwrap_or(1));
    let rules = rules(pods, Micros(30_000_000), options)?;
    Ok(Kind::Container { design: Design::Spin, rules, node: node(options), paid })
}

/// Instances of Lambda Managed Instances: those that are always there, and a bound.
const MANAGED: (u32, u32) = (3, 100);

fn node(options: &mut Options<'_>) -> String {
    options.text("node").unwrap_or_else(|| NODE.to_owned())
}

fn rules((least, most): (u32, u32), interval: Micros, options: &mut Options<'_>) -> Result<containers::Rules> {
    let rules = containers::Rules {
        least,
        most,
        slots: options.count("slots", 1, 100_000)?.unwrap_or(16),
        target: options.number("target", 0.01, 1.0)?.unwrap_or(0.7),
        // `resolve` replaces this value.
        start: Draw::Fixed(Micros::ZERO),
        interval: options.period("interval")?.unwrap_or(interval),
        cooldown: options.time("cooldown")?.unwrap_or(Micros(300_000_000)),
        queue: options.count("queue", 0, 10_000_000)?.unwrap_or(10_000) as usize,
    };
    ensure!(rules.cooldown.0 / rules.interval.0 <= 10_000, "cooldown: is more than 10000 intervals");
    Ok(rules)
}

impl Spec {
    /// The text of the flag.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The policy, in which the other flags fill what it leaves open.
    ///
    /// # Errors
    /// Fails if a run is the source but has no measurements of the platform.
    pub(crate) fn resolve(&self, defaults: &Defaults) -> Result<Policy> {
        let platform = match &self.kind {
            Kind::Lambda { .. } => "lambda",
            Kind::Workers { .. } => "workers",
            // `ingest` is the same function on either.
            Kind::Container { design: Design::Managed, .. } => "lambda",
            Kind::Container { design, .. } => design.name(),
        };
        let measured = defaults.measured.of(platform).with_context(|| self.text.clone())?;
        let mut choice = Choice { given: &self.given, defaults, measured, sources: BTreeMap::new() };
        let service = choice.service()?;
        let (model, pricing) = match &self.kind {
            Kind::Lambda { provisioned, pings, memory_mb, arch } => {
                let (init, recorded) = choice.lambda_init()?;
                let (recorded_arch, recorded_memory) = recorded.unzip();
                let keep_alive = choice.lambda_keep_alive();
                let provisioned = *provisioned;
                let rules = fleet::Rules { concurrency: 1, locations: 1, provisioned, init, keep_alive, pings: *pings };
                let memory_mb = memory_mb.or(recorded_memory);
                let arch = arch.clone().or(recorded_arch);
                (Model::Fleet(rules), Pricing::Lambda { memory_mb, arch, provisioned })
            }
            Kind::Workers { concurrency, locations, cpu } => {
                let rules = fleet::Rules {
                    concurrency: *concurrency,
                    locations: *locations,
                    provisioned: 0,
                    init: choice.workers_init(),
                    keep_alive: choice.workers_keep_alive(),
                    pings: None,
                };
                (Model::Fleet(rules), Pricing::Workers { cpu_ms: choice.cpu_ms(*cpu) })
            }
            Kind::Container { design, rules, node, paid } => {
                let start = if paid.is_some() { choice.pod_start() } else { choice.container_start() };
                let rules = containers::Rules { start, ..rules.clone() };
                (Model::Containers(rules), Pricing::Nodes { design: *design, node: node.clone(), paid: *paid })
            }
        };
        Ok(Policy { name: self.text.clone(), model, service, pricing, sources: choice.sources })
    }
}

impl Policy {
    /// The design that it is priced as.
    pub(crate) fn design(&self) -> Design {
        match self.pricing {
            Pricing::Lambda { .. } => Design::Lambda,
            Pricing::Workers { .. } => Design::Workers,
            Pricing::Nodes { design, .. } => design,
        }
    }

    /// Whether a flag says how long a request takes.
    pub(crate) fn has_own_service(&self) -> bool {
        self.sources.get("service").is_some_and(|source| source.starts_with("given"))
    }
}

/// Chooses the source of a policy's distributions: first the policy's own words, then the flags, then a run's
/// measurements, then a published or assumed value.
struct Choice<'c> {
    given: &'c Given,
    defaults: &'c Defaults,
    measured: Option<&'c Measured>,
    sources: BTreeMap<&'static str, String>,
}

impl Choice<'_> {
    fn note(&mut self, what: &'static str, sourced: Sourced) -> Draw {
        self.sources.insert(what, sourced.source);
        sourced.draw
    }

    /// The service time; `None` takes it from the trace.
    fn service(&mut self) -> Result<Option<Draw>> {
        let measured = self.measured.map(|measured| measured.service.clone());
        let said = self.given.service.clone().or_else(|| self.defaults.service.clone()).or(measured);
        if said.is_none() && self.defaults.trace_has_service {
            self.sources.insert("service", "trace: each request's own duration".to_owned());
            return Ok(None);
        }
        let service = said.map_or_else(assumed_service, Ok)?;
        Ok(Some(self.note("service", service)))
    }

    /// The init time, with the architecture and memory of the recording if one was asked for.
    fn lambda_init(&mut self) -> Result<(Draw, Option<(String, u32)>)> {
        let measured = self.measured.map(|measured| measured.init.clone());
        let said = self.given.init.clone().or_else(|| self.defaults.init.clone()).or(measured);
        let machine = said.as_ref().and_then(|init| published_machine(&init.source));
        let init = said.map_or_else(|| Sourced::published(published::DEFAULT), Ok)?;
        Ok((self.note("init", init), machine))
    }

    fn lambda_keep_alive(&mut self) -> Draw {
        let source = "published: 10 minutes (mikhail.io, 2019); AWS promises none".to_owned();
        let said = self.given.keep_alive.clone().or_else(|| self.defaults.keep_alive.clone());
        self.note("keep-alive", said.unwrap_or(Sourced { draw: TEN_MINUTES, source }))
    }

    fn workers_init(&mut self) -> Draw {
        let source = "published: Cloudflare, 2020, under 5 ms; 5 ms here".to_owned();
        let published = Sourced { draw: Draw::Fixed(Micros(5000)), source };
        let measured = self.measured.map(|measured| measured.init.clone());
        self.note("init", self.given.init.clone().or(measured).unwrap_or(published))
    }

    fn workers_keep_alive(&mut self) -> Draw {
        let assumed = Sourced::assumed(TEN_MINUTES, "10 minutes; Cloudflare publishes none");
        self.note("keep-alive", self.given.keep_alive.clone().unwrap_or(assumed))
    }

    fn container_start(&mut self) -> Draw {
        let assumed = Sourced::assumed(Draw::Fixed(Micros(30_000_000)), "30 s from decision to service");
        self.note("start", self.given.init.clone().unwrap_or(assumed))
    }

    fn pod_start(&mut self) -> Draw {
        let assumed = Sourced::assumed(
            Draw::Fixed(Micros(2_000_000)),
            "2 s from the first request to a pod, whose image is there",
        );
        self.note("start", self.given.init.clone().unwrap_or(assumed))
    }

    /// The CPU time that the policy says.
    fn cpu_ms(&mut self, given: Option<Micros>) -> Option<f64> {
        let source = match (given, self.measured) {
            (Some(cpu), _) => format!("given: {cpu}"),
            (None, Some(measured)) => format!("measured: {:.3} ms a request", measured.cpu_ms),
            (None, None) => "assumed: workers-cpu-ms, as `isotherm cost` has it".to_owned(),
        };
        self.sources.insert("cpu", source);
        given.map(Micros::ms)
    }
}

const TEN_MINUTES: Draw = Draw::Fixed(Micros(600_000_000));

/// The service time if nothing better is known: a write to a store in the same region.
fn assumed_service() -> Result<Sourced> {
    let service = Sourced::parse("lognormal:p50=10ms/p99=50ms")?;
    Ok(Sourced::assumed(service.draw, "log-normal, p50 10 ms, p99 50 ms"))
}

/// The architecture and memory with which published init durations were recorded.
fn published_machine(source: &str) -> Option<(String, u32)> {
    let name = source.strip_prefix("published: lambda-perf, ")?.split(',').next()?;
    published::machine(name).map(|(arch, memory)| (arch.to_owned(), memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, defaults: &Defaults) -> Policy {
        text.parse::<Spec>().unwrap().resolve(defaults).unwrap()
    }

    #[test]
    fn a_policy_s_own_words_come_before_the_flags_and_these_before_what_is_assumed() {
        let fixed = |text: &str| Some(Sourced::parse(text).unwrap());
        let defaults = Defaults { service: fixed("7ms"), init: fixed("1s"), ..Defaults::default() };
        let own = resolve("lambda,init=2s,service=3ms,keep-alive=1m,memory=512,arch=arm", &defaults);
        let Model::Fleet(rules) = &own.model else { panic!("{own:?}") };
        assert_eq!(
            (rules.init.clone(), rules.keep_alive.clone()),
            (Draw::Fixed(Micros(2_000_000)), Draw::Fixed(Micros::MINUTE))
        );
        assert_eq!(own.service, Some(Draw::Fixed(Micros(3000))));
        let machine = |memory, arch: &str| Pricing::Lambda {
            memory_mb: Some(memory),
            arch: Some(arch.to_owned()),
            provisioned: 0,
        };
        assert_eq!(own.pricing, machine(512, "arm"));
        let flags = resolve("lambda", &defaults);
        assert_eq!((flags.sources["init"].as_str(), flags.sources["service"].as_str()), ("given: 1s", "given: 7ms"));
        let nothing = resolve("lambda", &Defaults::default());
        assert!(nothing.sources["init"].starts_with("published: lambda-perf, rust-al2023-x86-128"), "{nothing:?}");
        assert!(nothing.sources["service"].starts_with("assumed: ") && !nothing.has_own_service(), "{nothing:?}");
        assert_eq!(nothing.pricing, Pricing::Lambda { memory_mb: None, arch: None, provisioned: 0 });
        assert!(flags.has_own_service());
        assert!(resolve("lambda", &Defaults { trace_has_service: true, ..Defaults::default() }).service.is_none());
        // Lambda's init applies neither to the start of a container nor to an isolate's.
        assert!(resolve("container", &defaults).sources["start"].starts_with("assumed"));
        assert!(resolve("workers", &defaults).sources["init"].starts_with("published: Cloudflare"));
    }

    #[test]
    fn published_init_durations_bring_their_machine() {
        let policy = resolve("lambda,init=published:nodejs24-arm-512", &Defaults::default());
        let machine =
            |memory| Pricing::Lambda { memory_mb: Some(memory), arch: Some("arm".to_owned()), provisioned: 0 };
        assert_eq!(policy.pricing, machine(512));
        let own = resolve("lambda,init=published:nodejs24-arm-512,memory=1024", &Defaults::default());
        assert_eq!(own.pricing, machine(1024));
    }

    #[test]
    fn the_policies_of_a_run_without_any_are_some() {
        for text in DEFAULT {
            assert_eq!(resolve(text, &Defaults::default()).name, text);
        }
    }

    #[test]
    fn a_policy_that_is_none_is_named() {
        crate::assert_refused::<Spec>(&[
            ("lamda", "\"lamda\" is no policy: give lambda"),
            ("lambda,nodes=3", "lambda has no option \"nodes\""),
            ("lambda,provisioned=x", "provisioned: \"x\" is not a whole number between 1 and 100000"),
            ("lambda,pings=3", "pings and ping-service need ping=TIME"),
            ("lambda,ping=0s", "ping: must be above 0"),
            ("lambda,arch=mips", "arch: must be x86 or arm"),
            ("lambda,memory=64", "memory: \"64\" is not a whole number between 128 and 10240"),
            ("container,nodes=5..2", "nodes: \"5..2\" must end above 0, and not before it begins"),
            ("container,nodes=0", "nodes: \"0\" must end above 0"),
            ("keda,pods=0", "pods: \"0\" must end above 0"),
            ("managed,nodes=0..3", "nodes: \"0\" is not a whole number between 1 and 100000"),
            ("container,keep-alive=5m", "container has no option \"keep-alive\""),
            ("container,target=2", "target: \"2\" is not between 0.01 and 1"),
            ("workers,init=soon", "init: \"soon\" is no length of time"),
        ]);
    }
}
