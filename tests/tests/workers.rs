//! Conformance of the platform `workers`.

isotherm_conformance::conformance!(Workers);
