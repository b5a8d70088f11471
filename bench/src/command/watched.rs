//! Shows on standard error how far a large file is read, once that has taken two seconds: a bar on a terminal, plain lines
//! elsewhere.

use std::fs::File;
use std::io::{IsTerminal, Read, Result};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget};

use crate::model::simulate::input::Lines;

/// What ends sooner shows no progress.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two plain lines.
pub(crate) const LINE_EVERY: Duration = Duration::from_secs(15);

/// A file whose reading is shown on standard error once it has taken two seconds.
pub(crate) struct Watched<R> {
    command: &'static str,
    inner: R,
    bytes: u64,
    read: u64,
    started: Instant,
    line_at: Instant,
    bar: Option<ProgressBar>,
}

impl<R> Watched<R> {
    /// `command` begins each plain line; `bytes` is the size of the file, 0 if it is not known.
    pub(crate) fn new(command: &'static str, inner: R, bytes: u64) -> Self {
        let started = Instant::now();
        Self { command, inner, bytes, read: 0, started, line_at: started, bar: None }
    }

    fn tell(&mut self) {
        if self.started.elapsed() < PATIENCE {
            return;
        }
        if std::io::stderr().is_terminal() {
            let bytes = self.bytes.max(self.read);
            let bar = self.bar.get_or_insert_with(|| {
                ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr_with_hz(4))
            });
            bar.set_position(self.read);
        } else if self.line_at == self.started || self.line_at.elapsed() >= LINE_EVERY {
            self.line_at = Instant::now();
            eprintln!("{}: {} of {} MB are read", self.command, self.read / 1_000_000, self.bytes / 1_000_000);
        }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        self.tell();
        Ok(read)
    }
}

/// Opens a file of lines, plain or gzip.
pub(crate) fn open(path: &Path) -> anyhow::Result<Lines> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    Lines::new(file, name)
}

/// Opens a file as [`open`] does, and shows how much of it is read. `command` says who reads.
pub(crate) fn open_watched(command: &'static str, path: &Path) -> anyhow::Result<Lines> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    let bytes = file.metadata().map_or(0, |about| about.len());
    Lines::new(Watched::new(command, file, bytes), name)
}
