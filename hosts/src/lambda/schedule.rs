//! EventBridge on this machine: a rule that invokes a function at a fixed rate.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::json;

use super::clock::{self, rfc3339};
use super::environment::{ACCOUNT, REGION, uuid};
use super::target::Target;
use crate::schedule::Schedule;

/// Invokes `target` at the rate of [`Schedule`].
pub(crate) fn rule(target: Arc<impl Target>) -> Schedule {
    Schedule::start(move || {
        let target = Arc::clone(&target);
        async move { target.invoke(event()).await.map(drop) }
    })
}

fn event() -> Bytes {
    let event = json!({
        "version": "0",
        "id": uuid(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": rfc3339(clock::now().as_secs() * 1000),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/schedule")],
        "detail": {},
    });
    event.to_string().into()
}
