//! Who a request is from, and what that allows.

use serde::Deserialize;

use crate::vocabulary::tenant::Tenant;

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    Write,
    Read,
    /// Write and read.
    Both,
    /// An operator's work, such as maintenance.
    Operate,
    /// Erase events. No route asks for it yet.
    Erase,
}

impl Scope {
    pub(crate) const ALL: [Self; 5] = [Self::Write, Self::Read, Self::Both, Self::Operate, Self::Erase];

    /// The scope with this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Both => "both",
            Self::Operate => "operate",
            Self::Erase => "erase",
        }
    }

    pub(crate) fn covers(self, needed: Self) -> bool {
        self == needed || (self == Self::Both && matches!(needed, Self::Write | Self::Read))
    }
}

/// Who a request is from.
#[derive(Clone, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) tenant: Tenant,
    /// The id of the key, or of the token's issuer.
    pub(crate) key: &'a str,
}
