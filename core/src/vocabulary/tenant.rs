//! The owner of events.

use std::fmt;

/// The owner of events. The name is 1–64 of `A–Z a–z 0–9 _ -`, so that every store can use it in a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(String);

impl Tenant {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a name as a store keeps it.
    ///
    /// # Errors
    /// [`NotATenant`] if the text is not a valid name.
    pub fn parse(name: String) -> Result<Self, NotATenant> {
        if is_id(&name) { Ok(Self(name)) } else { Err(NotATenant) }
    }

    /// The tenant of an open service.
    pub(crate) fn default_tenant() -> Self {
        Self("default".to_owned())
    }
}

/// The error for a text that cannot be a tenant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATenant;

impl fmt::Display for NotATenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {ID}")
    }
}

impl std::error::Error for NotATenant {}

/// What [`is_id`] asks of a text, for messages.
pub(crate) const ID: &str = "must be 1 to 64 of A-Z a-z 0-9 _ -";

/// Whether the text can name a tenant or a key.
pub(crate) fn is_id(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}
