//! `isotherm-native`: the server.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use isotherm_core::{LONGEST_ROUND, Level};
use isotherm_server::{Configuration, Server, Settings, Store, Watch, log, serve};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Takes events over HTTP and keeps them in SQLite.
#[derive(Parser)]
#[command(name = "isotherm-native", version)]
struct Flags {
    /// The address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// The port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The folder of the database; made when it is missing
    #[arg(long, value_name = "DIR", default_value = "isotherm-data")]
    data: PathBuf,
    /// The folder of the raw backup: events as gzip NDJSON, a file for each tenant and some thousand events; better
    /// on another disk. Without it there is no backup
    #[arg(long, value_name = "DIR")]
    backup: Option<PathBuf>,
    /// How often hours are compacted to days, and expired events are deleted; at most each 12 hours, because events are
    /// deleted within a day
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=LONGEST_ROUND.as_secs()))]
    schedule: u64,
    /// The configuration, JSON; without it, the environment variable ISOTHERM_CONFIG holds the text. With neither,
    /// the service is closed and answers 503
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Connections open at once; fewer where the system allows fewer files. An idle connection makes room for a new
    /// one
    #[arg(long, value_name = "NUMBER", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// How long a connection stays open without a request. Keep it longer than the proxy in front does, or the proxy
    /// sends a request into a connection that is being closed: nginx and AWS's balancers keep one for 60 seconds,
    /// Google's for 600
    #[arg(long, value_name = "SECONDS", default_value_t = 620, value_parser = clap::value_parser!(u32).range(1..))]
    keep_alive: u32,
    /// Write a line of JSON to standard output for each request and each fold. `log` in the configuration goes before
    /// this
    #[arg(long)]
    log_requests: bool,
}

/// Open files other than connections: the database's, of the writer and of each reader, the backup's, the standard
/// streams.
const FILES_OF_OUR_OWN: u64 = 128;

fn main() -> ExitCode {
    if let Err(error) = run(&Flags::parse()) {
        log::line(format_args!("{error:#}"));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(flags: &Flags) -> Result<()> {
    let configuration = Arc::new(Configuration::new(flags.config.clone()));
    // Read now, so that what is wrong is said before the first request.
    let _service = configuration.service();
    let settings = Settings {
        folder: flags.data.clone(),
        backup: flags.backup.clone(),
        round: Duration::from_secs(flags.schedule),
    };
    let watch = Arc::new(Watch::new(if flags.log_requests { Level::Info } else { Level::Off }));
    let store = Store::open(settings, Arc::clone(&configuration), Arc::clone(&watch))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start its threads")?;
    runtime.block_on(async {
        // Set up before `ready` is printed: whoever reads that line may end the process at once.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind((flags.address, flags.port))
            .await
            .with_context(|| format!("cannot listen on {}:{}", flags.address, flags.port))?;
        std::io::stdout().write_all(format!("ready http://{}\n", listener.local_addr()?).as_bytes())?;
        let stop = async move {
            tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
        };
        let server = Server {
            configuration,
            store,
            watch,
            connections: connections(flags.connections) as usize,
            keep_alive: Duration::from_secs(flags.keep_alive.into()),
        };
        serve(listener, server, stop).await;
        anyhow::Ok(())
    })
}

/// As many connections as the system gives files for. Many systems give a process more files than it starts with, if
/// it asks.
fn connections(wanted: u32) -> u32 {
    let files = u64::from(wanted) + FILES_OF_OUR_OWN;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = files.min(maximum.unwrap_or(u64::MAX));
    let current = current.unwrap_or(u64::MAX);
    let limit = Rlimit { current: Some(allowed), maximum };
    let files =
        if current < allowed && setrlimit(Resource::Nofile, limit).is_ok() { allowed } else { current.min(files) };
    u32::try_from(files.saturating_sub(FILES_OF_OUR_OWN)).unwrap_or(wanted).max(1)
}
