//! Ctrl-C and SIGTERM end a command by dropping its work, so that no temporary file stays.

use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a command that was interrupted.
const INTERRUPTED: u8 = 130;

/// Runs a command's work until it ends or a signal comes. After a signal one line on standard error says what stays.
///
/// # Errors
/// Fails if the work fails, or if signals can't be watched.
pub(super) async fn interruptible(work: impl Future<Output = Result<ExitCode>>, what_stays: &str) -> Result<ExitCode> {
    if let Some(code) = unless(interrupted()?, work).await {
        return code;
    }
    eprintln!("isotherm: interrupted; {what_stays}");
    Ok(ExitCode::from(INTERRUPTED))
}

/// Like [`interruptible`], for work that has no end of its own: a signal is its regular end.
///
/// # Errors
/// Fails if the work fails, or if signals can't be watched.
pub(super) async fn endless(work: impl Future<Output = Result<ExitCode>>, how_to_go_on: &str) -> Result<ExitCode> {
    if let Some(code) = unless(interrupted()?, work).await {
        return code;
    }
    eprintln!("isotherm: stopped; {how_to_go_on}");
    Ok(ExitCode::SUCCESS)
}

/// Ends with the first signal.
fn interrupted() -> Result<impl Future<Output = ()>> {
    let watch = |kind| signal(kind).context("cannot watch for Ctrl-C");
    let (mut interrupt, mut terminate) = (watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The work's result; `None` if the end came first. Then the work has been dropped.
async fn unless<T>(end: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        // Work that is done counts, even if a signal came with its end.
        biased;
        done = work => Some(done),
        () = end => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::read_dir;
    use std::future::pending;

    use super::super::file::FileSink;
    use super::*;

    #[tokio::test]
    async fn an_interrupted_export_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let work = async {
            let path = folder.path().join("a.ndjson.gz");
            let _sink = FileSink::create(&path, &"https://a.example.com".parse().unwrap()).unwrap();
            begun.send(read_dir(folder.path()).unwrap().count()).unwrap();
            pending::<()>().await;
        };
        let mut files = 0;
        assert_eq!(unless(async { files = has_begun.await.unwrap() }, work).await, None);
        assert_eq!((files, read_dir(folder.path()).unwrap().count()), (1, 0));
        assert_eq!(unless(pending(), async { 7 }).await, Some(7));
    }
}
