//! What a figure has in it. Only figures with the same scope can be ranked.

use std::collections::BTreeMap;

use isotherm_hosts::Platform;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A group of figures that hold the same things on one platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A cold start until an instance is ready.
    ColdInit,
    /// A cold start until the first byte of the first answer.
    ColdFirstResponse,
    /// Latency under load; reports too.
    Warm,
    /// Requests in a closed loop.
    Throughput,
    /// CPU time.
    Cpu,
    /// Memory.
    Memory,
    /// The size of what is deployed.
    Artifact,
}

/// Something that a figure may have in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A process starts: exec, the loader, page-ins.
    ProcessStart,
    /// Machine code is made of the artifact.
    Compile,
    /// An isolate or a component's instance is made.
    Instantiation,
    /// The runtime of the platform: V8, wasmtime, or what is linked into a native program.
    Runtime,
    /// An HTTP server and a connection to it.
    Http,
    /// The store.
    Store,
    /// Waiting until the store's disk has an event.
    Flush,
    /// Folding events into rollups.
    Fold,
}

/// Whether a part is in a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// The figure has it.
    In,
    /// The platform has it, but the figure leaves it out.
    Out,
    /// A stand-in's time is in it. The platform's own differs.
    Emulated,
    /// The platform does nothing of the kind here.
    Never,
}

/// The parts of a figure.
pub type Scope = BTreeMap<Part, Share>;

/// The scopes of a platform's figures, as its host takes them. `runtime` is the name of the runtime.
pub fn scopes(platform: Platform, runtime: &str) -> BTreeMap<Phase, Scope> {
    use Part::{Compile, Flush, Fold, Http, Instantiation, ProcessStart, Runtime, Store};
    use Platform::{Lambda, Native, Spin, Workers};
    use Share::{Emulated, In, Never, Out};
    // `spin up` has no way to force a cold start, so its first request after a start is taken.
    let is_real_spin = platform == Spin && !runtime.contains("embedded");
    let of = |lambda, workers, spin, native| match platform {
        Lambda => lambda,
        Workers => workers,
        Spin => spin,
        Native => native,
    };
    let start = if is_real_spin { In } else { of(In, Out, Out, In) };
    let compile = if is_real_spin { In } else { of(Never, In, Out, Never) };
    let instantiation = of(Never, In, In, Never);
    let http = of(Emulated, In, In, In);
    let (store, flush) = (of(Emulated, In, In, In), of(Out, In, In, In));
    let beside = Out;
    let scope = |parts: &[(Part, Share)]| parts.iter().copied().collect::<Scope>();
    BTreeMap::from([
        (
            Phase::ColdInit,
            scope(&[
                (ProcessStart, start),
                (Compile, compile),
                (Instantiation, instantiation),
                (Http, if is_real_spin { In } else { of(Out, In, Out, In) }),
                (Store, of(Out, Out, Out, In)),
            ]),
        ),
        (
            Phase::ColdFirstResponse,
            scope(&[
                (ProcessStart, start),
                (Compile, compile),
                (Instantiation, instantiation),
                (Http, if is_real_spin { In } else { of(Out, In, Out, In) }),
                (Store, store),
                (Flush, flush),
            ]),
        ),
        (Phase::Warm, scope(&[(Http, http), (Store, store), (Flush, flush), (Fold, beside)])),
        (Phase::Throughput, scope(&[(Http, http), (Store, store), (Flush, flush), (Fold, beside)])),
        (Phase::Cpu, scope(&[(Runtime, In), (Http, of(Out, In, In, In)), (Store, of(Out, In, In, In)), (Fold, In)])),
        (
            Phase::Memory,
            scope(&[
                (Runtime, In),
                (Compile, of(Never, In, In, Never)),
                (Http, of(Out, In, In, In)),
                (Store, of(Out, In, In, In)),
            ]),
        ),
        (
            Phase::Artifact,
            scope(&[(Runtime, of(In, Out, Out, In)), (Http, of(Out, Out, Out, In)), (Store, of(Out, Out, Out, In))]),
        ),
    ])
}

impl Phase {
    /// The phase of a figure by its name, as in `results::figure`.
    pub fn of(figure: &str) -> Option<Self> {
        Some(match figure.trim_start_matches("floor_") {
            name if name.starts_with("cold_init") => Self::ColdInit,
            name if name.starts_with("cold_first_response") => Self::ColdFirstResponse,
            name if name.starts_with("warm") || name.starts_with("report:") || name.starts_with("freshness") => {
                Self::Warm
            }
            "requests_per_second" | "events_per_second" => Self::Throughput,
            name if name.starts_with("cpu_") => Self::Cpu,
            name if name.starts_with("memory_") => Self::Memory,
            name if name.starts_with("artifact_") => Self::Artifact,
            _ => return None,
        })
    }
}

impl Part {
    /// The part in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProcessStart => "process start",
            Self::Compile => "compile",
            Self::Instantiation => "instantiation",
            Self::Runtime => "runtime",
            Self::Http => "HTTP",
            Self::Store => "store",
            Self::Flush => "flush",
            Self::Fold => "fold",
        }
    }
}

/// What is in a scope, in words, such as `process start, store (emulated)`; `nothing` for an empty one.
pub fn inside(scope: &Scope) -> String {
    let parts = scope.iter().filter_map(|(part, share)| match share {
        Share::In => Some(part.name().to_owned()),
        Share::Emulated => Some(format!("{} (emulated)", part.name())),
        Share::Out | Share::Never => None,
    });
    joined(parts)
}

/// What a platform has beside a figure, in words.
pub fn outside(scope: &Scope) -> String {
    joined(scope.iter().filter(|(_, share)| **share == Share::Out).map(|(part, _)| part.name().to_owned()))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_a_scope_and_only_like_ones_are_equal() {
        let of = |platform, phase| scopes(platform, "wasmtime (embedded)").remove(&phase).unwrap();
        let equal = |phase, one, other| of(one, phase) == of(other, phase);
        for (phase, expect) in [
            (Phase::ColdInit, false),
            (Phase::ColdFirstResponse, false),
            (Phase::Warm, true),
            (Phase::Throughput, true),
            (Phase::Cpu, true),
            (Phase::Memory, false),
            (Phase::Artifact, false),
        ] {
            assert_eq!(equal(phase, Platform::Spin, Platform::Native), expect, "{phase:?}");
            assert!(!equal(phase, Platform::Lambda, Platform::Native), "{phase:?}");
        }
        assert!(equal(Phase::Memory, Platform::Spin, Platform::Workers));
        assert_ne!(
            scopes(Platform::Spin, "spin")[&Phase::ColdInit],
            scopes(Platform::Spin, "wasmtime (embedded)")[&Phase::ColdInit]
        );
    }

    #[test]
    fn scopes_are_told_in_words() {
        let lambda = &scopes(Platform::Lambda, "bootstrap")[&Phase::Warm];
        assert_eq!(
            (inside(lambda).as_str(), outside(lambda).as_str()),
            ("HTTP (emulated), store (emulated)", "flush, fold")
        );
        assert_eq!(inside(&Scope::new()), "nothing");
    }

    #[test]
    fn each_compared_figure_has_a_phase() {
        for (figure, _) in crate::results::figure::COMPARED {
            assert!(Phase::of(figure).is_some(), "{figure}");
        }
        assert_eq!(Phase::of("report:by day_p50"), Some(Phase::Warm));
        assert_eq!(Phase::of("cost_per_million_events"), None);
    }
}
