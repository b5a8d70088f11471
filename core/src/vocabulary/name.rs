//! Names and ids that clients choose.

use crate::vocabulary::limits::Limits;

/// What is wrong with a name or an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameFlaw {
    /// No characters at all.
    Empty,
    /// More than [`Limits::name_bytes`].
    TooLong,
    /// A control character.
    Control,
}

/// What is wrong with this name; `None` if an event can have it.
pub(crate) fn name_flaw(name: &str) -> Option<NameFlaw> {
    if name.is_empty() {
        Some(NameFlaw::Empty)
    } else if name.len() > Limits::CONTRACT.name_bytes {
        Some(NameFlaw::TooLong)
    } else if name.chars().any(char::is_control) {
        Some(NameFlaw::Control)
    } else {
        None
    }
}
