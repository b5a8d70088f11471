//! What is measured: a platform or its floor, each a process `isotherm up … --control`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use isotherm_hosts::{Meters, Platform, Remote, Runtime, Up, Usage};

use crate::compare::artifact;
use crate::compare::result::{Artifact, Metered};
use crate::load::{CONFIG, Client, Events, Expect, Sample, Sequence, Slice};

/// A started platform or floor, and what was measured of it so far.
pub(super) struct Target {
    pub platform: Platform,
    pub is_floor: bool,
    pub remote: Remote,
    pub client: Client,
    pub runtime: Runtime,
    pub artifact: Artifact,
    /// Milliseconds: init and first response of each cold start.
    pub cold: Vec<(f64, f64)>,
    pub warm: Vec<Sample>,
    /// Slices of the closed loop, each with the CPU seconds used meanwhile.
    pub slices: Vec<(Slice, f64)>,
    pub usage: Usage,
    /// CPU time and meters before the first request that counts.
    pub cpu_before: Duration,
    pub meters: Meters,
    /// What they were at the end, less that.
    pub metered: Option<Metered>,
    /// Milliseconds of each report, by its name in the workload.
    pub reports: BTreeMap<String, Vec<f64>>,
    /// Milliseconds from when an event was accepted until a report counted it.
    pub fresh: Vec<f64>,
    /// Events of the data that were there at the end, and were what had been sent.
    pub verified: u64,
}

impl Target {
    /// Starts the platform's artifact of `set` with fresh data.
    pub(super) async fn start(
        program: &Path,
        artifacts: &Path,
        platform: Platform,
        is_floor: bool,
        events: Rc<Events>,
        seed: u64,
    ) -> Result<Self> {
        let set = if is_floor { "floor" } else { "release" };
        let mut up = Up::new(program, platform, artifacts);
        up.set = set.to_owned();
        up.config = CONFIG.to_owned();
        let remote = up.start().await?;
        let address = remote.url().trim_start_matches("http://").trim_end_matches('/');
        let address: SocketAddr = address.parse().with_context(|| format!("its address {address} is none"))?;
        let expect = if is_floor { Expect::Hello } else { Expect::Contract };
        Ok(Self {
            platform,
            is_floor,
            client: Client::new(address, expect, Sequence::new(events, seed)),
            runtime: remote.runtime().clone(),
            remote,
            artifact: artifact::measure(platform, &artifacts.join(set).join(platform.name()))?,
            cold: Vec::new(),
            warm: Vec::new(),
            slices: Vec::new(),
            usage: Usage::default(),
            cpu_before: Duration::ZERO,
            meters: Meters::default(),
            metered: None,
            reports: BTreeMap::new(),
            fresh: Vec::new(),
            verified: 0,
        })
    }

    /// For messages: `spin` or `floor of spin`.
    pub(super) fn name(&self) -> String {
        if self.is_floor { format!("floor of {}", self.platform) } else { self.platform.to_string() }
    }

    /// Fails with the target's name once it erred too often.
    pub(super) fn bearable(&self) -> Result<()> {
        self.client.bearable().with_context(|| self.name())
    }
}
