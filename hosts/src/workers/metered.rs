//! What Durable Objects are billed for, as counted by metered.js.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http;
use crate::meters::{Invocations, Meters, Rows};

/// The answer of metered.js.
#[derive(Deserialize)]
pub(super) struct Counted {
    functions: BTreeMap<String, Handled>,
    rows: BTreeMap<String, Rows>,
}

/// Requests or alarms, summed over all objects.
#[derive(Deserialize)]
struct Handled {
    count: u64,
    ms: f64,
}

/// Gets a path from one of our workers and parses the answer as JSON.
pub(super) async fn get_json<T: DeserializeOwned>(port: u16, path: &str) -> Result<T> {
    let answer = http::get(port, path).await?;
    serde_json::from_slice(&answer.body).with_context(|| format!("workerd answered {:?} to GET {path}", answer.body))
}

impl Counted {
    /// Adds the counts to `meters`. CPU time stays 0 because all objects share one process.
    pub(super) fn add_to(self, meters: &mut Meters) {
        let invocations = |Handled { count, ms }| Invocations {
            count,
            cpu: Duration::ZERO,
            wall: Duration::from_secs_f64(ms.max(0.0) / 1000.0),
        };
        meters.functions = self.functions.into_iter().map(|(name, handled)| (name, invocations(handled))).collect();
        meters.rows = self.rows;
    }
}
