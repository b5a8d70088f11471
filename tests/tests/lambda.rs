//! Conformance of the platform `lambda`.

isotherm_conformance::conformance!(Lambda);
