//! What Lambda's reports say of the functions that wrote them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::logs::entry::Entry;
use crate::model::simulate::time::Micros;
use crate::stats::quantile;

/// What was observed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Observed {
    pub requests: u64,
    /// Requests for which a new environment was initialised.
    pub cold: u64,
    pub cold_share: f64,
    /// Init of these requests in ms; null without any.
    pub init_ms: Option<Quantiles>,
    /// Duration without init, in ms.
    pub duration_ms: Quantiles,
    /// The memory of the functions, in MB; the mean if it differs.
    pub memory_mb: f64,
    /// Billed GB-seconds.
    pub gb_seconds: f64,
    /// All inits in ms.
    #[serde(skip)]
    pub inits: Vec<f64>,
}

/// Two quantiles in ms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Quantiles {
    pub p50: f64,
    pub p99: f64,
}

impl Observed {
    /// What a log says; `None` unless every entry says what was billed and with how much memory.
    pub(crate) fn of(entries: &[Entry]) -> Option<Self> {
        let mut observed = Self {
            requests: entries.len() as u64,
            cold: 0,
            cold_share: 0.0,
            init_ms: None,
            duration_ms: Quantiles { p50: 0.0, p99: 0.0 },
            memory_mb: 0.0,
            gb_seconds: 0.0,
            inits: Vec::new(),
        };
        let mut durations = Vec::with_capacity(entries.len());
        for entry in entries {
            let memory = f64::from(entry.memory_mb?);
            durations.push(entry.duration?.ms());
            observed.gb_seconds += entry.billed?.seconds() * memory / 1024.0;
            observed.memory_mb += memory / entries.len() as f64;
            observed.inits.extend(entry.init.map(Micros::ms));
        }
        observed.cold = observed.inits.len() as u64;
        observed.cold_share = observed.cold as f64 / entries.len().max(1) as f64;
        observed.inits.sort_by(f64::total_cmp);
        durations.sort_by(f64::total_cmp);
        observed.init_ms = quantiles(&observed.inits);
        observed.duration_ms = quantiles(&durations)?;
        Some(observed)
    }
}

/// Two quantiles of sorted values; `None` without any.
fn quantiles(sorted: &[f64]) -> Option<Quantiles> {
    (!sorted.is_empty()).then(|| Quantiles { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) })
}
