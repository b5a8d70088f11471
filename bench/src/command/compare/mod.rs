//! `isotherm compare`: runs one workload on every platform and on its floor, in the same run.
//!
//! `--repeat` repeats all phases with new hosts and merges the runs. The result is modelled, judged and written.

mod flags;
mod output;
mod session;

use std::process::ExitCode;

pub use self::flags::Compare;

/// Runs `isotherm compare`.
///
/// Builds its own runtime with one thread, so that the load takes at most one core.
pub fn compare(flags: &Compare) -> ExitCode {
    ExitCode::from(session::run(flags) as u8)
}
