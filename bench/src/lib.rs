//! The parts of the program `isotherm`.

pub mod up;
