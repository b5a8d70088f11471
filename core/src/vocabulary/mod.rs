//! The words that every room uses. None of them knows a room.

pub(crate) mod borrowed;
pub(crate) mod counted;
pub(crate) mod digest;
pub(crate) mod facts;
pub(crate) mod id;
pub(crate) mod limits;
pub(crate) mod name;
pub(crate) mod refused;
pub(crate) mod rejection;
pub(crate) mod reply;
pub(crate) mod tenant;
pub(crate) mod time;
