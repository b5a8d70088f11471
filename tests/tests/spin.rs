//! Conformance of the platform `spin`.

isotherm_conformance::conformance!(Spin);
