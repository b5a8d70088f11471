//! Facts about the machine during a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Facts about other work on the machine. Shares are from 0 to 1 and absent if the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Noise {
    /// The share of all processors that other programs used right before the run.
    pub busy_before: Option<f64>,
    /// The share of processor time during the run that the hypervisor gave to others.
    pub stolen: Option<f64>,
    /// The share of all processors that other programs used during the run: the mean, and the 95th percentile of its
    /// seconds.
    #[serde(default)]
    pub busy_meanwhile: Option<[f64; 2]>,
    /// The disk under the stores.
    #[serde(default)]
    pub disk: Option<Disk>,
    /// The governor of the processors' clocks; absent on most virtual machines.
    pub governor: Option<String>,
    /// The lowest and the highest clock of any processor at the start and the end, in MHz. On most virtual machines
    /// this is the nominal clock.
    #[serde(default)]
    pub clock_mhz: Option<[f64; 2]>,
    /// Why the figures are not sound, and what to do about it; empty if they are sound.
    pub reasons: Vec<String>,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Disk {
    /// The type of its file system, such as `ext4`.
    pub file_system: String,
    /// Whether it is memory, to which a flush costs nothing.
    pub is_memory: bool,
    /// The median time of a flush after a write of 4 kB.
    pub flush_ms_p50: f64,
    /// The 99th percentile.
    pub flush_ms_p99: f64,
}
