//! Replays a trace through all policies at once. It is read once, and each request is the same for all of them.

use anyhow::{Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::model::simulate::arrival::{Arrival, Trace};
use crate::model::simulate::containers::Containers;
use crate::model::simulate::draw::Draw;
use crate::model::simulate::fleet::{Billed, Fleet};
use crate::model::simulate::policy::{Model, Policy};
use crate::model::simulate::record::Record;
use crate::model::simulate::time::Micros;

/// Service times and policies have random streams of their own, so that neither shifts if another trace draws more.
const SERVICE_STREAM: u64 = 0x5e7f_1ce5_0000_0000;
const POLICY_STREAM: u64 = 0x9011_c1e5_0000_0000;

/// Number of requests between two looks at the clock.
const LOOK_EVERY: u64 = 1 << 14;

/// The outcome of a trace under every policy.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Number of requests in the trace.
    pub requests: u64,
    /// The length of the trace.
    pub span: Micros,
    /// In the order of the policies.
    pub policies: Vec<Replayed>,
}

/// The outcome of a trace under one policy.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub policy: Policy,
    pub record: Record,
    pub billed: Billed,
    /// The mean service time, without any wait.
    pub mean_service: Micros,
}

enum Instances {
    Fleet(Fleet),
    Containers(Containers),
}

struct Running {
    policy: Policy,
    instances: Instances,
    service_us: u128,
}

impl Running {
    fn new(policy: Policy, seed: u64) -> Result<Self> {
        // All policies have the same seed, so a policy's figures do not depend on the others in the run.
        let seed = seed.wrapping_add(POLICY_STREAM);
        let instances = match &policy.model {
            Model::Fleet(rules) => Instances::Fleet(Fleet::new(rules.clone(), seed)?),
            Model::Containers(rules) => Instances::Containers(Containers::new(rules.clone(), seed)?),
        };
        Ok(Self { policy, instances, service_us: 0 })
    }

    /// `share` is the quantile of the service time in its distribution.
    fn arrive(&mut self, arrival: Arrival, share: f64) {
        let service = self.policy.service.as_ref().map(|draw: &Draw| draw.at(share)).or(arrival.service);
        let service = service.unwrap_or_default();
        self.service_us += u128::from(service.0);
        match &mut self.instances {
            Instances::Fleet(fleet) => fleet.arrive(arrival.at, service),
            Instances::Containers(containers) => containers.arrive(arrival.at, service),
        }
    }

    fn finish(mut self, requests: u64, end: Micros) -> Replayed {
        let (record, billed) = match &mut self.instances {
            Instances::Fleet(fleet) => {
                fleet.finish(end);
                (fleet.record().clone(), fleet.billed())
            }
            Instances::Containers(containers) => {
                containers.finish(end);
                (containers.record().clone(), Billed::default())
            }
        };
        let mean_service = Micros((self.service_us as f64 / requests as f64).round() as u64);
        Replayed { policy: self.policy, record, billed, mean_service }
    }
}

/// Replays a trace. `told` hears now and then how many requests are through, and at which time of the trace.
///
/// # Errors
/// Fails if the trace can't be read, or if it does not have two requests at different times.
pub(crate) fn replay(
    trace: Trace,
    policies: Vec<Policy>,
    seed: u64,
    told: &mut dyn FnMut(u64, Micros),
) -> Result<Outcome> {
    let mut running = policies.into_iter().map(|policy| Running::new(policy, seed)).collect::<Result<Vec<_>>>()?;
    let mut rng = Pcg64Mcg::seed_from_u64(seed.wrapping_add(SERVICE_STREAM));
    let (mut requests, mut last) = (0_u64, Micros::ZERO);
    for arrival in trace.arrivals {
        let arrival = arrival?;
        let share = rng.random();
        for one in &mut running {
            one.arrive(arrival, share);
        }
        (requests, last) = (requests + 1, arrival.at);
        if requests.is_multiple_of(LOOK_EVERY) {
            told(requests, last);
        }
    }
    ensure!(requests > 0, "the trace has no request");
    let span = trace.end.unwrap_or(last);
    ensure!(
        span > Micros::ZERO,
        "all requests of the trace are at the same time, so nothing is known of an hour or a month"
    );
    let policies = running.into_iter().map(|one| one.finish(requests, span)).collect();
    Ok(Outcome { requests, span, policies })
}

impl Outcome {
    /// Requests per second in the busiest bin of the timeline. The maximum over the policies counts, since a policy
    /// that refuses requests has counted fewer.
    pub(crate) fn busiest(&self) -> f64 {
        self.policies.iter().map(|replayed| replayed.record.timeline.peak_rate()).fold(0.0, f64::max)
    }
}
