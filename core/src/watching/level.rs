//! Which lines are written.

use serde::Deserialize;

use crate::vocabulary::time::Stamp;

/// How grave a line is; or, as a setting, the least grave line that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to do: a status below 400, a fold.
    Info,
    /// The client's fault, or its turn to wait: a status below 500, a report that lacks events, a record that is no
    /// event.
    Warn,
    /// The service's fault: a status from 500 on.
    Error,
    /// As a setting: no line.
    Off,
}

impl Level {
    /// The level's name in lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Off => "off",
        }
    }
}

/// The operator's settings for lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lines {
    /// The least grave line that is written. Without it, the platform's own.
    pub(crate) level: Option<Level>,
    /// Which part of the lines of [`Level::Info`] is written: 1 for all.
    pub(crate) sample: Option<f64>,
}

impl Lines {
    /// Whether a line is written. `usual` is the platform's own level. An instance's first line is always in the sample,
    /// so that cold starts can be counted.
    pub(crate) fn write(&self, level: Level, usual: Level, stamp: Stamp, is_first: bool) -> bool {
        let least = self.level.unwrap_or(usual);
        // 32 bits of entropy, as a part of all that they can be. They are no part of an event's id.
        let draw = f64::from((stamp.entropy >> 96) as u32) / f64::from(u32::MAX);
        let is_in_sample = level > Level::Info || is_first || self.sample.is_none_or(|sample| draw < sample);
        level != Level::Off && level >= least && is_in_sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::time::Millis;

    #[test]
    fn errors_are_in_every_sample() {
        let stamp = |draw: u32| Stamp { received_at: Millis(0), entropy: u128::from(draw) << 96 };
        let lines = |level, sample| Lines { level, sample };
        let tenth = lines(Some(Level::Info), Some(0.1));
        let written = |level| (0..1000).filter(|n| tenth.write(level, Level::Off, stamp(n * 4_294_968), false)).count();
        assert_eq!((written(Level::Info), written(Level::Warn), written(Level::Error)), (100, 1000, 1000));
        let none = lines(None, Some(0.0));
        assert!(none.write(Level::Info, Level::Info, stamp(0), true), "a cold start");
        assert!(!none.write(Level::Info, Level::Info, stamp(0), false));
        assert!(lines(None, Some(1.0)).write(Level::Info, Level::Info, stamp(u32::MAX - 1), false));
    }

    #[test]
    fn the_operators_level_goes_before_the_platforms() {
        let stamp = Stamp { received_at: Millis(0), entropy: 0 };
        let write = |own, usual, level| Lines { level: own, sample: None }.write(level, usual, stamp, false);
        assert!(write(None, Level::Info, Level::Info) && !write(None, Level::Warn, Level::Info));
        assert!(!write(None, Level::Off, Level::Error) && !write(Some(Level::Off), Level::Info, Level::Error));
        assert!(
            write(Some(Level::Info), Level::Off, Level::Info) && !write(Some(Level::Error), Level::Info, Level::Warn)
        );
    }
}
