//! `isotherm-host` runs one platform in the foreground. It ends at Ctrl-C, at SIGTERM or, with `--control`, at the end
//! of standard input.
//!
//! `isotherm up` becomes this program. It is separate so that `isotherm` builds without wasmtime, AWS's protocols and
//! SQLite: only the part that starts platforms needs them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use isotherm_hosts::control::{Answer, Command};
use isotherm_hosts::{Host, Options, Platform, lines};
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// How often to check whether the platform still listens.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The flags that `isotherm up` passes. The configuration's text is in ISOTHERM_CONFIG.
#[derive(Parser)]
#[command(name = "isotherm-host", version)]
struct Flags {
    /// What to start
    #[arg(value_parser = |name: &str| Platform::named(name).ok_or("no platform has this name"))]
    platform: Platform,
    /// The folder of the platform's artifact
    #[arg(long, value_name = "DIR")]
    artifact: PathBuf,
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where the data is kept; without it, it goes when the platform stops
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Start as many instances of workerd as a cluster; Workers only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    cluster: Option<u32>,
    /// Take commands from standard input and answer on standard output, lines of JSON; see `isotherm_hosts::control`
    #[arg(long)]
    control: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let run = || {
        // This thread starts the hosts' processes, and they end when it ends. So it lives as long as the program.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
        runtime.block_on(run(flags))
    };
    run().unwrap_or_else(|error| {
        lines::print_error(&format!("isotherm: {error:#}"));
        ExitCode::FAILURE
    })
}

async fn run(flags: Flags) -> Result<ExitCode> {
    let options = Options {
        artifact: flags.artifact,
        port: flags.port,
        data: flags.data,
        cluster: flags.cluster,
        config: std::env::var("ISOTHERM_CONFIG").context("ISOTHERM_CONFIG")?,
        log_requests: !flags.control,
    };
    if flags.control { controlled(flags.platform, &options).await } else { foreground(flags.platform, &options).await }
}

async fn foreground(platform: Platform, options: &Options) -> Result<ExitCode> {
    let mut ends = Ends::new()?;
    // If the start is interrupted, the future is dropped, and everything that it has started ends with it.
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

/// Waits until nothing accepts connections at `url`.
async fn unreachable(url: &str) {
    let address = url.trim_start_matches("http://");
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}

async fn controlled(platform: Platform, options: &Options) -> Result<ExitCode> {
    let mut ends = Ends::new()?;
    let commands = commands(&mut ends);
    let started = tokio::select! {
        started = Host::start(platform, options) => started,
        () = ends.one() => return Ok(ExitCode::SUCCESS),
    };
    let host = match started {
        Ok(host) => host,
        Err(error) => {
            // Only the controlling process shows the error; printing it here too would show it twice.
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

/// Runs the commands one after another.
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

/// The events that end the program in order.
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

    /// Waits for the first of the events.
    async fn one(&mut self) {
        let input = async {
            match &mut self.input {
                // Sent or dropped: either way there is no more input.
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

/// Reads the lines of standard input. The end of input becomes one of `ends`.
fn commands(ends: &mut Ends) -> mpsc::Receiver<String> {
    let (said, commands) = mpsc::channel(1);
    let (ended, end) = oneshot::channel();
    ends.input = Some(end);
    // A read of a terminal can't be cancelled. So a separate thread reads, and the program's end does not wait for it.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if said.blocking_send(line).is_err() {
                break;
            }
        }
        // If nobody waits for the end, the program is about to end anyway.
        let _ending = ended.send(());
    });
    commands
}
