//! A scheduler on this machine: does something at a fixed rate.

use std::fmt::Display;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::lines::log;

/// Once a minute, the shortest rate that EventBridge and crons have.
const RATE: Duration = Duration::from_secs(60);
/// Names another rate.
const VARIABLE: &str = "ISOTHERM_SCHEDULE_SECONDS";

/// A time in seconds that the environment names, for tests that can't wait as long as platforms do.
pub(crate) fn seconds(variable: &str) -> Option<Duration> {
    let seconds = std::env::var(variable).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// What runs.
pub(crate) struct Schedule(JoinHandle<()>);

impl Schedule {
    /// Awaits what `due` gives at the rate, first when it has passed once.
    pub(crate) fn start<D, F, E>(mut due: D) -> Self
    where
        D: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send,
        E: Display,
    {
        let rate = seconds(VARIABLE).unwrap_or(RATE);
        Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(rate).await;
                if let Err(failure) = due().await {
                    log!("schedule: {failure}");
                }
            }
        }))
    }

    /// Ends it; what is under way is given up.
    pub(crate) async fn stop(self) {
        self.0.abort();
        let _aborted = self.0.await;
    }
}
