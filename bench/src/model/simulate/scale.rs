//! Scales the number of a trace's arrivals up or down.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::model::simulate::arrival::{Arrival, Arrivals};
use crate::model::simulate::time::Micros;

/// Repeats each arrival of a trace `scale` times on average.
///
/// The first copy comes at the arrival's own time, or at random within `spread` after it if the trace is coarser. The
/// other copies come at random within that spread, or within a minute. At the same time as the first they would make a
/// burst that the trace does not have. A scale below 1 leaves some arrivals out. Only the copies within that time are
/// kept in memory.
pub(crate) struct Scaled {
    arrivals: Peekable<Arrivals>,
    scale: f64,
    spread: Micros,
    rng: Pcg64Mcg,
    /// The time and the trace's own service time of each copy, in microseconds.
    pending: BinaryHeap<Reverse<(Micros, Option<Micros>)>>,
}

impl Scaled {
    pub(crate) fn new(arrivals: Arrivals, scale: f64, spread: Micros, seed: u64) -> Self {
        let rng = Pcg64Mcg::seed_from_u64(seed);
        Self { arrivals: arrivals.peekable(), scale, spread, rng, pending: BinaryHeap::new() }
    }

    fn copy(&mut self, arrival: Arrival) {
        let share = self.scale.fract();
        let copies = self.scale as u64 + u64::from(share > 0.0 && self.rng.random::<f64>() < share);
        for nth in 0..copies {
            let within = match (nth, self.spread) {
                (0, spread) => spread,
                (_, Micros::ZERO) => Micros::MINUTE,
                (_, spread) => spread,
            };
            let later = if within == Micros::ZERO { within } else { Micros(self.rng.random_range(0..within.0)) };
            self.pending.push(Reverse((arrival.at + later, arrival.service)));
        }
    }
}

impl Iterator for Scaled {
    type Item = Result<Arrival>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = self.pending.peek().map(|Reverse((at, _))| *at);
            let is_next = match (self.arrivals.peek(), first) {
                (Some(Ok(arrival)), Some(first)) => first <= arrival.at,
                (None, Some(_)) => true,
                (Some(Err(_)) | None, None) | (Some(Err(_)), Some(_)) | (Some(Ok(_)), None) => false,
            };
            if is_next {
                return self.pending.pop().map(|Reverse((at, service))| Ok(Arrival { at, service }));
            }
            match self.arrivals.next()? {
                Ok(arrival) => self.copy(arrival),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
