//! Shows the progress of a comparison on standard error: a bar on a terminal, plain lines elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::words::time;

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// One phase of a run.
pub(crate) struct Phase {
    name: String,
    bar: Option<ProgressBar>,
    later: f64,
    started: Instant,
    line_at: Cell<Instant>,
}

impl Phase {
    /// Starts phase `number` of `of`. `later` is the time of the phases after it, in seconds.
    pub(crate) fn start(number: usize, of: usize, name: &str, later: f64) -> Self {
        let name = format!("[{number}/{of}] {name}");
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{prefix:46} {bar:24} {percent:>3} %  {msg}") {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar.set_prefix(name.clone());
            bar.tick();
            bar
        });
        if bar.is_none() {
            eprintln!("{name}");
        }
        let now = Instant::now();
        Self { name, bar, later, started: now, line_at: Cell::new(now) }
    }

    /// Reports the share `done` of the phase; 1 means that it is over. `left` is the rest of the phase in seconds, or
    /// NaN if unknown.
    pub(crate) fn progress(&self, done: f64, left: f64) {
        let text = if left.is_nan() { String::new() } else { format!("{} left in all", time(left + self.later)) };
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.set_position((1000.0 * done.clamp(0.0, 1.0)) as u64);
        } else if self.line_at.get().elapsed() >= LINE_EVERY {
            self.line_at.set(Instant::now());
            let text = if text.is_empty() { text } else { format!(", {text}") };
            eprintln!("{}: {:.0} %{text}", self.name, 100.0 * done);
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            eprintln!("{} {}", self.name, time(self.started.elapsed().as_secs_f64()));
        }
    }
}
