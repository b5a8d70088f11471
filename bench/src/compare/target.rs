//! What is measured: a platform, its floor, or the article's function, each a process `isotherm up … --control`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use isotherm_hosts::{Meters, Platform, Remote, Runtime, Up, Usage};

use crate::compare::artifact;
use crate::compare::result::Metered;
use crate::load::{CONFIG, Client, Events, Expect, Sample, Sequence, Slice};
use crate::workload::Mix;

/// One event a request: all that the article's function takes.
const SINGLES: Mix = Mix { single: 1, batch: 0, get: 0 };

/// What a target is in the comparison; in the order in which they take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// A platform's own artifact: it gets the workload.
    Own,
    /// The smallest function on the same runtime.
    Floor,
    /// The article's function: it gets the workload's events, one a request.
    Article,
    /// Isotherm's artifact with the same requests as the article's function gets.
    Singles,
}

impl Role {
    /// The set of artifacts that it is of, as `cargo xtask build` names them.
    pub(crate) fn set(self) -> &'static str {
        match self {
            Self::Own | Self::Singles => "release",
            Self::Floor => "floor",
            Self::Article => "article",
        }
    }
}

/// A started platform or floor, and what was measured of it so far.
pub(super) struct Target {
    pub platform: Platform,
    pub role: Role,
    pub remote: Remote,
    pub client: Client,
    pub runtime: Runtime,
    /// Where its artifact is.
    pub folder: PathBuf,
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
    /// Starts the platform's artifact for `role` with fresh data.
    pub(super) async fn start(
        program: &Path,
        artifacts: &Path,
        platform: Platform,
        role: Role,
        events: Rc<Events>,
        seed: u64,
    ) -> Result<Self> {
        let mut up = Up::new(program, platform, artifacts);
        up.set = role.set().to_owned();
        up.config = CONFIG.to_owned();
        let folder = artifacts.join(role.set()).join(platform.name());
        // How large they are is found out after the measuring: packing them takes seconds.
        artifact::files(platform, role, &folder)?;
        let remote = up.start().await?;
        let address = remote.url().trim_start_matches("http://").trim_end_matches('/');
        let address: SocketAddr = address.parse().with_context(|| format!("its address {address} is none"))?;
        let expect = if role == Role::Floor { Expect::Hello } else { Expect::Contract };
        Ok(Self {
            platform,
            role,
            client: Client::new(address, expect, Sequence::new(events, seed)),
            runtime: remote.runtime().clone(),
            remote,
            folder,
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
        match self.role {
            Role::Own => self.platform.to_string(),
            Role::Floor => format!("floor of {}", self.platform),
            Role::Article => "the article's function".to_owned(),
            Role::Singles => format!("{}, single events", self.platform),
        }
    }

    /// Whether it has a store.
    pub(super) fn keeps_events(&self) -> bool {
        self.role != Role::Floor
    }

    /// What it gets where the workload's mix is this.
    pub(super) fn mix<'m>(&self, mix: &'m Mix) -> &'m Mix {
        match self.role {
            Role::Own | Role::Floor => mix,
            Role::Article | Role::Singles => &SINGLES,
        }
    }

    /// Fails with the target's name once it erred too often.
    pub(super) fn bearable(&self) -> Result<()> {
        self.client.bearable().with_context(|| self.name())
    }
}
