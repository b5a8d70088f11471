//! An event in the store has the id of a new event: which of the two stays.

use crate::store::plan::{StoreOutcome, StorePlan};
use crate::vocabulary::digest::Digest;
use crate::vocabulary::time::Seconds;

/// What becomes of the stored event that holds the id of a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It stays, and this is the outcome of the new event.
    Stays(StoreOutcome),
    /// It has expired. It makes way for the new event, in a SQL store once it is folded.
    MakesWay,
}

impl Holder {
    /// The digest and the time are `None` where the store cannot read them.
    pub(crate) fn of(digest: Option<Digest>, expires_at: Option<Seconds>, expired_by: Seconds) -> Self {
        match digest {
            _ if expires_at.is_some_and(|at| at <= expired_by) => Self::MakesWay,
            Some(digest) => Self::Stays(StoreOutcome::Existing(digest)),
            // Nobody can tell a repetition from a conflict, so the client keeps its event.
            None => Self::Stays(StoreOutcome::Unavailable),
        }
    }
}

impl StorePlan {
    /// Decides about the stored event that holds the id of one of the plan's events. A column that the store cannot read
    /// is `None`. It costs this event alone: a host never fails the plan for it, nor a group of plans.
    pub fn holder(&self, digest: Option<Digest>, expires_at: Option<Seconds>) -> Holder {
        Holder::of(digest, expires_at, self.expired_by())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_makes_way_only_once_it_has_expired() {
        let digest = Digest::from_bytes([7; 16]);
        let of = |digest, expires_at: Option<u64>| Holder::of(digest, expires_at.map(Seconds), Seconds(100));
        let existing = Holder::Stays(StoreOutcome::Existing(digest));
        assert_eq!([of(Some(digest), Some(101)), of(Some(digest), None)], [existing; 2]);
        assert_eq!([of(Some(digest), Some(100)), of(None, Some(100))], [Holder::MakesWay; 2]);
        assert_eq!([of(None, Some(101)), of(None, None)], [Holder::Stays(StoreOutcome::Unavailable); 2]);
    }
}
