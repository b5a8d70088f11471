//! Shows the progress of a replay on standard error, once it has taken two seconds: a bar on a terminal, plain lines
//! elsewhere.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::command::watched::{LINE_EVERY, PATIENCE};
use crate::model::simulate::time::Micros;

pub(crate) struct Progress {
    end: Option<Micros>,
    started: Instant,
    line_at: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `end` is the end of the trace, if known.
    pub(crate) fn start(end: Option<Micros>) -> Self {
        let started = Instant::now();
        Self { end, started, line_at: started, bar: None }
    }

    pub(crate) fn tell(&mut self, requests: u64, at: Micros) {
        if self.started.elapsed() < PATIENCE {
            return;
        }
        if std::io::stderr().is_terminal() {
            let end = self.end;
            let bar = self.bar.get_or_insert_with(|| bar(end));
            bar.set_position(at.0);
            bar.set_message(format!("{} requests, {at} of the trace", HumanCount(requests)));
        } else if self.line_at == self.started || self.line_at.elapsed() >= LINE_EVERY {
            self.line_at = Instant::now();
            let of = self.end.map(|end| format!(" of {end}")).unwrap_or_default();
            eprintln!("simulate: {} requests, {at}{of} of the trace", HumanCount(requests));
        }
    }
}

fn bar(end: Option<Micros>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let (bar, template) = match end {
        Some(end) => (ProgressBar::with_draw_target(Some(end.0), target), "{bar:24} {percent:>3} %  {msg}"),
        None => (ProgressBar::with_draw_target(None, target), "{spinner} {msg}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
