//! Conformance of the platform `native`.

isotherm_conformance::conformance!(Native);

/// A minute is long, and the store's lock is at hand only here: `cargo xtask test --all` runs it, once.
mod outage_of_sdks {
    #[test]
    fn all_outlive_a_minute() {
        isotherm_conformance::cases::sdks::all_outlive_a_minute(isotherm_hosts::Platform::Native);
    }
}
