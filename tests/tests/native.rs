//! Conformance of the platform `native`.

isotherm_conformance::conformance!(Native);
