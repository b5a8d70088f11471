//! The parts of the program `isotherm`.

pub mod compare;
pub mod cost;
pub mod diff;
pub mod doctor;
pub mod load;
pub mod prices;
pub mod simulate;
pub mod stats;
pub mod up;
pub mod workload;
