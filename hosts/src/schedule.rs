//! A scheduler on this machine: runs a task at a fixed rate.

use std::fmt::Display;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::lines::log;

/// Once a minute, the shortest rate that EventBridge and cron allow.
const RATE: Duration = Duration::from_secs(60);
/// The environment variable that sets another rate, in seconds.
const VARIABLE: &str = "ISOTHERM_SCHEDULE_SECONDS";

/// Reads a time in seconds from an environment variable. Tests use it because they can't wait as long as platforms do.
pub(crate) fn seconds(variable: &str) -> Option<Duration> {
    let seconds = std::env::var(variable).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// A running schedule.
pub(crate) struct Schedule(JoinHandle<()>);

impl Schedule {
    /// Calls `due` and awaits its future at the rate. The first call comes after one period.
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

    /// Ends the schedule and cancels a call in progress.
    pub(crate) async fn stop(self) {
        self.0.abort();
        let _aborted = self.0.await;
    }
}
