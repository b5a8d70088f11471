//! Whose turn it is: a new order each round, and nobody works in another's turn.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rustix::process::{Pid, Signal, kill_process};

use crate::measure::target::Target;

/// Separates the orders of rounds from what else comes from the seed.
const STREAM: u64 = 0x0de4_5000_0000_0000;

/// The places of `count` targets in the order of round `round`: a permutation that follows from the seed. In a fixed
/// order each target would always follow the same one, and bear what that one leaves behind.
pub(crate) fn order(count: usize, seed: u64, round: usize) -> Vec<usize> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed.wrapping_add(STREAM).wrapping_add(round as u64));
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
    order
}

/// Targets of which one at a time runs. The processes of all others are stopped, so that the folding that a target has
/// put off runs in its own turns. All run again when this is dropped.
pub(crate) struct Turns {
    hosts: Vec<Option<u32>>,
}

impl Turns {
    pub(crate) fn of(targets: &[Target]) -> Self {
        Self { hosts: targets.iter().map(|target| target.remote.id()).collect() }
    }

    /// Lets only the target at `place` run.
    pub(crate) fn give(&self, place: usize) {
        let children = children();
        for (other, host) in self.hosts.iter().enumerate().filter(|(other, _)| *other != place) {
            signal(*host, &children, Signal::STOP);
            debug_assert_ne!(other, place);
        }
        signal(self.hosts.get(place).copied().flatten(), &children, Signal::CONT);
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        let children = children();
        for host in &self.hosts {
            signal(*host, &children, Signal::CONT);
        }
    }
}

/// Signals a host and all processes below it.
fn signal(host: Option<u32>, children: &BTreeMap<u32, Vec<u32>>, signal: Signal) {
    let mut left: Vec<u32> = host.into_iter().collect();
    while let Some(process) = left.pop() {
        if let Some(pid) = Pid::from_raw(process.cast_signed()) {
            // It may have ended meanwhile. Then there is nothing to signal.
            let _ended = kill_process(pid, signal);
        }
        left.extend(children.get(&process).into_iter().flatten());
    }
}

/// The children of each process of this machine.
fn children() -> BTreeMap<u32, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (process, parent, _) in crate::system::processes() {
        children.entry(parent).or_default().push(process);
    }
    children
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn each_round_has_an_order_of_its_own_and_a_seed_has_the_same_ones() {
        let orders: Vec<Vec<usize>> = (0..100).map(|round| order(8, 7, round)).collect();
        for one in &orders {
            assert_eq!(one.iter().copied().collect::<BTreeSet<_>>(), (0..8).collect());
        }
        assert_eq!(orders, (0..100).map(|round| order(8, 7, round)).collect::<Vec<_>>());
        assert!(orders.iter().collect::<BTreeSet<_>>().len() > 95);
        // Each target follows each other one about as often: 100 rounds of 7 neighbours make 12.5 of each pair.
        let follows = |a: usize, b: usize| orders.iter().filter(|of| of.windows(2).any(|two| two == [a, b])).count();
        for (a, b) in (0..8).flat_map(|a| (0..8).map(move |b| (a, b))).filter(|(a, b)| a != b) {
            assert!((2..=28).contains(&follows(a, b)), "{b} follows {a} {} times", follows(a, b));
        }
        assert!(order(0, 1, 1).is_empty());
    }

    #[test]
    fn what_has_no_turn_stands_still() {
        let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        let mut both = [spin(), spin()];
        let cpu = |id: u32| {
            crate::system::processes().into_iter().find(|(process, ..)| *process == id).map_or(0, |(.., ticks)| ticks)
        };
        let turns = Turns { hosts: both.iter().map(|child| Some(child.id())).collect() };
        turns.give(0);
        std::thread::sleep(Duration::from_millis(50));
        let (one, other) = (cpu(both[0].id()), cpu(both[1].id()));
        let until = Instant::now() + Duration::from_secs(20);
        while cpu(both[0].id()) < one + 5 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let after = [cpu(both[0].id()), cpu(both[1].id())];
        drop(turns);
        let goes_on = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            cpu(both[1].id()) > after[1]
        });
        for child in &mut both {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(after[0] >= one + 5 && after[1] == other, "{one} {other} {after:?}");
        assert!(goes_on, "all run again at the end");
    }
}
