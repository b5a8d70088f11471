//! EventBridge on this machine: a rule that invokes a function at a fixed rate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::body::Bytes;
use serde_json::json;
use tokio::task::JoinHandle;

use super::environment::{ACCOUNT, REGION, uuid};
use super::mapping::{Target, rfc3339};

/// Once a minute, the shortest rate that EventBridge has.
const RATE: Duration = Duration::from_secs(60);
/// Names another rate, in seconds: tests can't wait for minutes.
const VARIABLE: &str = "ISOTHERM_SCHEDULE_SECONDS";

/// The running rule.
pub(crate) struct Schedule(JoinHandle<()>);

impl Schedule {
    /// Invokes `target` at the rate, first when it has passed once.
    pub(crate) fn start(target: Arc<impl Target>) -> Self {
        let seconds = std::env::var(VARIABLE).ok().and_then(|seconds| seconds.parse().ok());
        let rate = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(RATE);
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(rate).await;
                if let Err(failure) = target.invoke(event()).await {
                    eprintln!("schedule: {failure}");
                }
            }
        }))
    }

    /// Ends it; an invocation under way goes on.
    pub(crate) async fn stop(self) {
        self.0.abort();
        let _aborted = self.0.await;
    }
}

fn event() -> Bytes {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let event = json!({
        "version": "0",
        "id": uuid(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": rfc3339(now.as_secs() * 1000),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/schedule")],
        "detail": {},
    });
    event.to_string().into()
}
