//! `isotherm check URL`: says, check by check, whether an endpoint keeps the contract. For whoever writes a client, a
//! proxy or another server, and wants to know what a client may rely on.

mod checks;
mod server;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;

use crate::BadInput;
use crate::load::Url;
use server::{Answer, Server, Webhooks};

const EXAMPLES: &str = "Examples:
  isotherm check http://localhost:8080                       an open server
  ISOTHERM_KEY=… isotherm check https://events.example.com   a key of scope both
  ISOTHERM_KEY=… isotherm check https://events.example.com --read-key …
  isotherm check http://localhost:8080 --origin https://shop.example
  ISOTHERM_KEY=… ISOTHERM_WEBHOOK_SECRET=whsec_… \\
        isotherm check https://events.example.com --webhook billing";

/// Sends some sixty events of the type `isotherm check <time>` and asks for them again. It deletes nothing, so that they
/// stay until they expire. Prints a line for each check; the exit status is 0 if the endpoint keeps all of them.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub struct Check {
    /// The endpoint, with the path before all others if there is one
    url: Url,
    /// A key that may write, and read too unless --read-key is given
    #[arg(long, value_name = "KEY", env = "ISOTHERM_KEY", hide_env_values = true)]
    key: Option<String>,
    /// A key that may read, if the other one may not
    #[arg(long, value_name = "KEY", env = "ISOTHERM_READ_KEY", hide_env_values = true)]
    read_key: Option<String>,
    /// An origin that the endpoint's configuration names: a page of it may send events with the key
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// The id of a sender of webhooks in the endpoint's configuration, whose messages are signed with the secret
    #[arg(long, value_name = "ID", requires = "webhook_secret")]
    webhook: Option<String>,
    /// The secret of this sender
    #[arg(long, value_name = "whsec_…", env = "ISOTHERM_WEBHOOK_SECRET", hide_env_values = true)]
    webhook_secret: Option<String>,
    /// For how many seconds a report may lack events that were accepted
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

/// Runs `isotherm check`.
///
/// # Errors
/// Fails if nobody answers at the URL, if a key can't be a header, or if the key may not write.
pub async fn check(flags: &Check) -> Result<ExitCode> {
    let found = run(flags).await?;
    let (mut failed, mut text) = (0, String::new());
    for (name, result) in &found {
        match result {
            Ok(()) => text += &format!("ok    {name}\n"),
            Err(problem) => {
                failed += 1;
                text += &format!("FAIL  {name}: {problem:#}\n");
            }
        }
    }
    crate::say(&format!("{text}\n{} of {} checks passed\n", found.len() - failed, found.len()))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(flags: &Check) -> Result<Vec<(&'static str, Result<()>)>> {
    let write = flags.url.resolve(flags.key.as_deref()).await?;
    let read = match &flags.read_key {
        Some(key) => flags.url.resolve(Some(key)).await?,
        None => write.clone(),
    };
    let webhooks = match (&flags.webhook, &flags.webhook_secret) {
        (Some(id), Some(secret)) => Some(Webhooks::new(id, secret).map_err(BadInput)?),
        _ => None,
    };
    let server = Server::new(write, read, flags.key.is_some(), flags.patience);
    // Without the right key nearly all checks would fail for that one reason. Other problems are for the checks to find.
    if let Ok(Answer { status: status @ (401 | 403), .. }) = server.post("/events", &server.event("first")).await {
        let url = &flags.url;
        let wants = "wants a key that may write: give --key or ISOTHERM_KEY";
        return Err(BadInput(anyhow!("{url} {wants} (an event is answered {status})")).into());
    }
    Ok(checks::all(&server, flags.origin.as_deref(), webhooks.as_ref()).await)
}
