//! The commands of `isotherm`: their flags, and what they read, run and print.

pub mod check;
pub mod compare;
pub mod cost;
pub mod decide;
pub mod diff;
pub mod doctor;
pub mod key;
pub mod moving;
pub mod prices;
pub mod report;
pub mod schema;
pub mod simulate;
pub mod soak;
pub mod up;
pub(crate) mod watched;
