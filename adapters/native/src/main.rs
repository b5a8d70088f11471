//! `isotherm-native`: the server.

use std::env::VarError;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use isotherm_core::Service;
use isotherm_server::{Server, Settings, Store, serve};
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
    /// The folder of the raw backup: events as gzip NDJSON, a file for each tenant and some thousand events; better on another
    /// disk. Without it there is none
    #[arg(long, value_name = "DIR")]
    backup: Option<PathBuf>,
    /// How often hours are compacted to days, and expired events go
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    schedule: u64,
    /// The configuration, JSON; without it, the environment variable ISOTHERM_CONFIG holds the text. With neither the service is
    /// closed and answers 503
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one line for each request
    #[arg(long)]
    log_requests: bool,
}

fn main() -> ExitCode {
    if let Err(error) = run(&Flags::parse()) {
        eprintln!("isotherm-native: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(flags: &Flags) -> Result<()> {
    let service = service(flags);
    if let Some(notice) = service.notice() {
        eprintln!("isotherm-native: {notice}");
    }
    let settings = Settings {
        folder: flags.data.clone(),
        backup: flags.backup.clone(),
        schedule: Duration::from_secs(flags.schedule),
    };
    let store = Store::open(settings, service.clone())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start its threads")?;
    runtime.block_on(async {
        // Before `ready`: whoever reads that line may end us at once.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind((flags.address, flags.port))
            .await
            .with_context(|| format!("cannot listen on {}:{}", flags.address, flags.port))?;
        writeln!(std::io::stdout(), "ready http://{}", listener.local_addr()?)?;
        let stop = async move {
            tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
        };
        serve(listener, Server { service, store, log_requests: flags.log_requests }, stop).await;
        anyhow::Ok(())
    })
}

/// What the file or the environment configures; neither has to be there, and what is wrong closes the service.
fn service(flags: &Flags) -> Service {
    let text = match &flags.config {
        Some(file) => std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display())),
        None => match std::env::var("ISOTHERM_CONFIG") {
            Err(VarError::NotUnicode(_)) => Err("ISOTHERM_CONFIG is not UTF-8".to_owned()),
            text => Ok(text.unwrap_or_default()),
        },
    };
    text.map_or_else(Service::closed, |text| Service::from_text(Some(&text)))
}
