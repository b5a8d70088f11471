//! `isotherm up` and `isotherm serve`: one platform in the foreground, until Ctrl-C, SIGTERM or, with `--control`, the end
//! of standard input.

use std::env::VarError;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use isotherm_hosts::control::{Answer, Command};
use isotherm_hosts::{Host, OPEN, Options, Platform, lines};
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// How often it is looked whether the platform is still there.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The flags of `isotherm up`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  isotherm up workers --port 8787               until Ctrl-C; its data goes with it
  isotherm up lambda --port 8787 --data kept    its data stays for the next start
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
    #[command(flatten)]
    what: What,
    /// Which set of artifacts: release, test (tests may fix the time of a request), floor (the smallest hello function) or article (what Isotherm is compared with, for Lambda)
    #[arg(long, default_value = "release", value_parser = ["release", "test", "floor", "article"])]
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

/// Accepts the name of a platform.
pub fn platform() -> impl TypedValueParser<Value = Platform> {
    PossibleValuesParser::new(Platform::ALL.map(Platform::name)).try_map(|name| {
        Platform::ALL.into_iter().find(|platform| platform.name() == name).ok_or("no platform has this name")
    })
}

/// Runs `isotherm up`.
pub async fn up(flags: Up) -> Result<ExitCode> {
    let options = config(flags.what.config.as_deref()).map(|config| Options {
        artifact: flags.what.artifacts.join(&flags.set).join(flags.platform.name()),
        port: flags.port,
        data: flags.data,
        config,
        log_requests: !flags.control,
    });
    if flags.control { controlled(flags.platform, options).await } else { foreground(flags.platform, &options?).await }
}

/// Runs `isotherm serve`.
pub async fn serve(flags: Serve) -> Result<ExitCode> {
    let options = Options {
        artifact: flags.what.artifacts.join("release").join(Platform::Native.name()),
        port: flags.port,
        data: Some(flags.data),
        config: config(flags.what.config.as_deref())?,
        log_requests: true,
    };
    foreground(Platform::Native, &options).await
}

/// The configuration's text, handed over as it is: one that is wrong closes the service, as it does where it is deployed. Where
/// there is none at all the service is open, since only this machine reaches it.
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

async fn foreground(platform: Platform, options: &Options) -> Result<ExitCode> {
    let mut ends = Ends::new()?;
    // Ended while it starts, everything that was started so far is dropped, and with that ended.
    let host = tokio::select! {
        host = Host::start(platform, options) => host?,
        () = ends.one() => return Ok(ExitCode::SUCCESS),
    };
    let url = host.url();
    lines::print(&format!("ready {url}"));
    let lost = tokio::select! {
        () = ends.one() => false,
        () = unreachable(&url) => true,
    };
    host.stop().await?;
    ensure!(!lost, "{platform} does not listen any more: its runtime has ended by itself");
    Ok(ExitCode::SUCCESS)
}

/// Waits until nothing accepts connections there.
async fn unreachable(url: &str) {
    let address = url.trim_start_matches("http://");
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}

async fn controlled(platform: Platform, options: Result<Options>) -> Result<ExitCode> {
    let mut ends = Ends::new()?;
    let commands = commands(&mut ends);
    let starting = async { Host::start(platform, &options?).await };
    let started = tokio::select! {
        started = starting => started,
        () = ends.one() => return Ok(ExitCode::SUCCESS),
    };
    let host = match started {
        Ok(host) => host,
        Err(error) => {
            // Whoever controls us shows it: once is enough.
            answer(&Answer::Error(format!("{error:#}")))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    answer(&Answer::Ready { url: host.url(), runtime: host.runtime() })?;
    let served = tokio::select! {
        served = obey(&host, commands) => served,
        () = ends.one() => Ok(()),
    };
    host.stop().await?;
    served?;
    Ok(ExitCode::SUCCESS)
}

/// Commands, one after another.
async fn obey(host: &Host, mut commands: mpsc::Receiver<String>) -> Result<()> {
    while let Some(line) = commands.recv().await {
        answer(&result(host, &line).await.unwrap_or_else(|error| Answer::Error(format!("{error:#}"))))?;
    }
    Ok(())
}

async fn result(host: &Host, line: &str) -> Result<Answer> {
    match serde_json::from_str(line).with_context(|| format!("{line:?} is no command"))? {
        Command::Cold(request) => host.cold(&request).await.map(Answer::Cold),
        Command::Usage {} => Ok(Answer::Usage(host.usage())),
        Command::Meters {} => host.meters().await.map(Answer::Meters),
    }
}

fn answer(answer: &Answer) -> Result<()> {
    lines::print(&serde_json::to_string(answer)?);
    Ok(())
}

/// What ends the program in order.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    input: Option<oneshot::Receiver<()>>,
}

impl Ends {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            input: None,
        })
    }

    /// Waits for one of them.
    async fn one(&mut self) {
        let input = async {
            match &mut self.input {
                // Sent or dropped, either way there is no input any more.
                Some(input) => _ = input.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = input => {}
        }
    }
}

/// The lines of standard input, whose end is one of `ends`.
fn commands(ends: &mut Ends) -> mpsc::Receiver<String> {
    let (said, commands) = mpsc::channel(1);
    let (ended, end) = oneshot::channel();
    ends.input = Some(end);
    // A thread of its own, which the program's end does not wait for: a read of a terminal can't be called off.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if said.blocking_send(line).is_err() {
                break;
            }
        }
        // Nobody waits for it: the program is about to end anyway.
        let _ending = ended.send(());
    });
    commands
}
