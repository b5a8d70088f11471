//! The targets of measurement: a platform, its floor, or the baseline. Each is a process
//! `isotherm up … --control`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use isotherm_hosts::{Meters, Platform, Remote, Runtime, Up, Usage};

use crate::load::{CONFIG, Client, Events, Expect, Sample, Sequence, Slice};
use crate::measure::artifact;
use crate::measure::role::Role;
use crate::results::Metered;
use crate::workload::Mix;

/// One event per request, which is all that the baseline accepts.
const SINGLES: Mix = Mix { single: 1, batch: 0, get: 0 };

/// A started target and its measurements so far.
pub(crate) struct Target {
    pub platform: Platform,
    pub role: Role,
    pub remote: Remote,
    pub client: Client,
    pub runtime: Runtime,
    /// The folder of its artifact.
    pub folder: PathBuf,
    /// Milliseconds of init and of the first response for each cold start.
    pub cold: Vec<(f64, f64)>,
    pub warm: Vec<Sample>,
    /// Slices of the closed loop, each with the CPU seconds used during it.
    pub slices: Vec<(Slice, f64)>,
    pub usage: Usage,
    /// CPU seconds from the start of the closed loop until all is folded; `None` where nothing is put off.
    pub deferred: Option<f64>,
    /// CPU time before the closed loop.
    pub cpu_before_loop: Duration,
    /// CPU time before the first request that counts. `meters` below holds the meters of the same moment.
    pub cpu_before: Duration,
    pub meters: Meters,
    /// The usage from then to the end.
    pub metered: Option<Metered>,
    /// Milliseconds of each report, by its name in the workload.
    pub reports: BTreeMap<String, Vec<f64>>,
    /// Milliseconds from the acceptance of an event until a report counted it.
    pub fresh: Vec<f64>,
    /// Events of the data that were there at the end with the content that was sent.
    pub verified: u64,
}

/// What starting a target needs of the machine.
#[derive(Clone, Copy)]
pub(crate) struct Paths<'a> {
    /// The program `isotherm`, whose `up` hosts the platforms.
    pub(crate) program: &'a Path,
    /// The folder of artifacts.
    pub(crate) artifacts: &'a Path,
    /// The folder for the logs of the targets' processes.
    pub(crate) logs: &'a Path,
}

fn name(platform: Platform, role: Role) -> String {
    match role {
        Role::Own => platform.to_string(),
        Role::Floor => format!("floor of {platform}"),
        Role::Baseline => "the baseline".to_owned(),
        Role::Singles => format!("{platform}, single events"),
    }
}

impl Target {
    /// Starts the platform's artifact for `role` with fresh data.
    pub(crate) async fn start(
        Paths { program, artifacts, logs }: Paths<'_>,
        platform: Platform,
        role: Role,
        events: Rc<Events>,
        seed: u64,
    ) -> Result<Self> {
        let mut up = Up::new(program, platform, artifacts);
        up.set = role.set().to_owned();
        up.config = CONFIG.to_owned();
        up.log = Some(logs.join(format!("{}.log", name(platform, role).replace([' ', ','], "-"))));
        let folder = artifacts.join(role.set()).join(platform.name());
        // The sizes of the files are measured later, since packing them takes seconds.
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
            deferred: None,
            cpu_before_loop: Duration::ZERO,
            cpu_before: Duration::ZERO,
            meters: Meters::default(),
            metered: None,
            reports: BTreeMap::new(),
            fresh: Vec::new(),
            verified: 0,
        })
    }

    /// The target's name in messages, such as `spin` or `floor of spin`.
    pub(crate) fn name(&self) -> String {
        name(self.platform, self.role)
    }

    /// Whether the target has a store.
    pub(crate) fn keeps_events(&self) -> bool {
        self.role != Role::Floor
    }

    /// The mix of requests that the target gets, given the workload's mix.
    pub(crate) fn mix<'m>(&self, mix: &'m Mix) -> &'m Mix {
        match self.role {
            Role::Own | Role::Floor => mix,
            Role::Baseline | Role::Singles => &SINGLES,
        }
    }

    /// Fails with the target's name once it made too many errors.
    pub(crate) fn bearable(&self) -> Result<()> {
        self.client.bearable().with_context(|| self.name())
    }
}
