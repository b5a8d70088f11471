//! `isotherm up` and `isotherm serve`: their flags. The program becomes `isotherm-host`, which starts the platform.

use std::env::VarError;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use isotherm_hosts::control::Answer;
use isotherm_hosts::{OPEN, Platform, lines};

use crate::BadInput;

/// The flags of `isotherm up`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  isotherm up workers --port 8787               until Ctrl-C; its data goes with it
  isotherm up lambda --port 8787 --data kept    its data stays for the next start
  isotherm up workers --cluster 3
        three instances, which share a bucket on this machine
  isotherm up spin --config config.json         with keys: `isotherm key new` makes them")]
pub struct Up {
    /// What to start
    #[arg(value_parser = platform())]
    platform: Platform,
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where the data is kept, for later starts to find it; without it, it goes when the platform stops
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Start as many instances of workerd as a cluster, which share a bucket; Workers only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    cluster: Option<u32>,
    #[command(flatten)]
    what: What,
    /// Which set of artifacts: release, test (tests may fix the time of a request), floor (the smallest hello function) or baseline (what Isotherm is compared with, for Lambda)
    #[arg(long, default_value = "release", value_parser = ["release", "test", "floor", "baseline"])]
    set: String,
    /// Take commands from standard input and answer on standard output, lines of JSON; see `isotherm_hosts::control`
    #[arg(long, hide = true)]
    control: bool,
}

/// The flags of `isotherm serve`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  isotherm serve                             http://127.0.0.1:8080, data in ./isotherm-data
  isotherm serve --port 80 --data /srv/events --config config.json")]
pub struct Serve {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where the data is kept
    #[arg(long, value_name = "DIR", default_value = "isotherm-data")]
    data: PathBuf,
    #[command(flatten)]
    what: What,
}

#[derive(Debug, Args)]
struct What {
    /// The configuration, JSON; without it, the environment variable ISOTHERM_CONFIG holds the text. With neither the service is
    /// open to this machine
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where `cargo xtask build` put the artifacts
    #[arg(long, value_name = "DIR", env = "ISOTHERM_ARTIFACTS", default_value = "target/artifacts")]
    artifacts: PathBuf,
}

/// A parser for the name of a platform.
pub fn platform() -> impl TypedValueParser<Value = Platform> {
    PossibleValuesParser::new(Platform::ALL.map(Platform::name))
        .try_map(|name| Platform::named(&name).ok_or("no platform has this name"))
}

/// Runs `isotherm up`.
///
/// # Errors
/// Fails if the host can't be started.
pub fn up(flags: &Up) -> Result<ExitCode> {
    let mut host = host(flags.platform, &flags.set, flags.port, flags.data.as_deref(), &flags.what);
    if let Ok(host) = &mut host {
        host.args(flags.control.then_some("--control"));
        if let Some(instances) = flags.cluster {
            host.arg("--cluster").arg(instances.to_string());
        }
    }
    match host.and_then(become_host) {
        Err(error) if flags.control => {
            // The controlling program shows the error, so this one does not.
            lines::print(&serde_json::to_string(&Answer::Error(format!("{error:#}")))?);
            Ok(ExitCode::FAILURE)
        }
        started => Ok(started?),
    }
}

/// Runs `isotherm serve`.
///
/// # Errors
/// Fails if the host can't be started.
pub fn serve(flags: &Serve) -> Result<ExitCode> {
    host(Platform::Native, "release", flags.port, Some(&flags.data), &flags.what).and_then(become_host)
}

/// The program that hosts a platform, with its flags.
fn host(platform: Platform, set: &str, port: u16, data: Option<&Path>, what: &What) -> Result<Command> {
    let mut host = Command::new(isotherm_hosts::host()?);
    host.env("ISOTHERM_CONFIG", config(what.config.as_deref()).map_err(BadInput)?);
    host.arg(platform.name()).arg("--artifact").arg(what.artifacts.join(set).join(platform.name()));
    host.arg("--port").arg(port.to_string());
    if let Some(data) = data {
        host.arg("--data").arg(data);
    }
    Ok(host)
}

/// Replaces this process with the host. Returns only if that fails.
fn become_host(mut host: Command) -> Result<ExitCode> {
    Err(host.exec()).with_context(|| format!("cannot start {}", host.get_program().display()))
}

/// The configuration's text, unchanged. A wrong configuration closes the service, as it does after a deployment.
/// Without any configuration the service is open, since only this machine reaches it.
fn config(file: Option<&Path>) -> Result<String> {
    match file.map_or_else(|| Ok(std::env::var("ISOTHERM_CONFIG")), |file| crate::text::read(file).map(Ok))? {
        Ok(text) => Ok(text),
        Err(VarError::NotPresent) => {
            lines::print_error(
                "isotherm: no configuration is given, so the service is open to this machine (--config FILE)",
            );
            Ok(OPEN.to_owned())
        }
        Err(error) => Err(error).context("ISOTHERM_CONFIG"),
    }
}
