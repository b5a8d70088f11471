//! The functions that event source mappings and the schedule invoke, and their answers to a batch.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow};
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::environment::Failure;

/// The largest event of a synchronous invocation: 6 MB.
pub(crate) const EVENT_BYTES: usize = 6 * 1024 * 1024;
/// The limit of the records of a batch together, in bytes. The rest of the event needs some space too.
pub(crate) const RECORDS_BYTES: usize = EVENT_BYTES - 4096;

/// A function as its triggers see it.
pub(crate) trait Target: Send + Sync + 'static {
    fn invoke(&self, event: Bytes) -> impl Future<Output = Result<Bytes, Failure>> + Send;
}

/// A function's answer to a batch.
pub(crate) struct Outcome {
    /// The records that failed, by their place in the batch.
    pub(crate) failed: BTreeSet<usize>,
    /// The state that the function gets back with the next batch of the window.
    pub(crate) state: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    state: Option<Value>,
    batch_item_failures: Option<Vec<ItemFailure>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

/// Delivers a batch whose records have these ids. As on AWS, an answer that names any other id fails the whole batch.
pub(crate) async fn hand_over(target: &impl Target, event: Vec<u8>, ids: &[&str]) -> Result<Outcome> {
    let answer = target.invoke(event.into()).await.map_err(|failure| anyhow!("{failure}"))?;
    // An empty answer means that everything succeeded.
    let answer: Option<Answer> = serde_json::from_slice(&answer).context("the function's answer is none to a batch")?;
    let Answer { state, batch_item_failures } = answer.unwrap_or_default();
    let place = |failure: ItemFailure| {
        let id = failure.item_identifier;
        let place = ids.iter().position(|known| *known == id);
        place.with_context(|| format!("the function says that {id:?} failed, which it was not given"))
    };
    let failed = batch_item_failures.into_iter().flatten().map(place).collect::<Result<_>>()?;
    Ok(Outcome { failed, state: state.unwrap_or_else(|| json!({})) })
}
