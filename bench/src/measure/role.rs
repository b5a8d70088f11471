//! The roles of targets in a comparison.

/// The role of a target in the comparison; the variants are in the order in which targets take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// A platform's own artifact, which gets the workload.
    Own,
    /// The smallest function on the same runtime.
    Floor,
    /// The baseline, which gets the workload's events one per request.
    Baseline,
    /// Isotherm's artifact with the same requests as the baseline.
    Singles,
}

impl Role {
    /// The artifact set of this role, as `cargo xtask build` names it.
    pub(crate) fn set(self) -> &'static str {
        match self {
            Self::Own | Self::Singles => "release",
            Self::Floor => "floor",
            Self::Baseline => "baseline",
        }
    }
}
