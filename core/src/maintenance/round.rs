//! The compaction of a store that is folded in lanes, as one run of its schedule does it: the tenants of all lanes take
//! turns, so that one with many days keeps none of the others waiting.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::maintenance::lanes::Lanes;
use crate::maintenance::watermark::Watermark;
use crate::rollups::compaction::Compaction;
use crate::rollups::key::KeyRange;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::Millis;

/// The most days that a turn compacts.
const DAYS_A_TURN: usize = 100;
/// The passes in which a fold may move the watermark before a tenant's days are left to the next run.
const LOST_RACES: u32 = 5;

/// One run of the schedule. The host takes turns until there are none, and forgets the lanes that are done in between.
#[derive(Debug)]
pub struct CompactionRound {
    waiting: VecDeque<CompactionTurn>,
    /// The lanes that are to be forgotten once their days are compacted.
    ended: BTreeMap<String, EndedLane>,
}

#[derive(Debug)]
struct EndedLane {
    watermark: Watermark,
    /// The tenants whose days are not compacted yet.
    tenants: usize,
}

/// Some days of a tenant's rollups in one lane. A tenant's turns pass over its days from the first to the last, and over
/// all of them again if a fold came between.
#[must_use = "a turn that is not ended keeps its lane from being forgotten"]
#[derive(Debug)]
pub struct CompactionTurn {
    /// The lane.
    pub lane: String,
    /// The tenant.
    pub tenant: Tenant,
    /// The last day of the turn before, if this pass goes on behind it.
    after: Option<KeyRange>,
    days: Vec<KeyRange>,
    has_more: bool,
    /// A fold came between, in this pass.
    has_lost_race: bool,
    has_failed: bool,
    /// The passes in which a fold came between.
    lost_races: u32,
}

impl CompactionRound {
    /// Begins a run. `listed` are the lanes and tenants that the store has listed; `known` are tenants that may have
    /// rollups in any lane.
    pub(crate) fn new(lanes: &Lanes, listed: Vec<(String, String)>, known: &[Tenant], now: Millis) -> Self {
        let (mut waiting, mut ended) = (VecDeque::new(), BTreeMap::new());
        let mut of_lanes: BTreeMap<String, BTreeSet<Tenant>> = BTreeMap::new();
        for (lane, tenant) in listed {
            of_lanes.entry(lane).or_default().extend(Tenant::parse(tenant));
        }
        for (lane, watermark) in lanes.watermarks() {
            let mut tenants = of_lanes.remove(lane).unwrap_or_default();
            tenants.extend(known.iter().cloned());
            if watermark.has_ended(now) {
                let lane_ends = EndedLane { watermark: watermark.clone(), tenants: tenants.len() };
                ended.insert(lane.to_owned(), lane_ends);
            }
            waiting.extend(tenants.into_iter().map(|tenant| CompactionTurn::new(lane, tenant)));
        }
        Self { waiting, ended }
    }

    /// The next turn; `None` once the run is over.
    pub fn take(&mut self) -> Option<CompactionTurn> {
        self.waiting.pop_front()
    }

    /// Takes in what became of a turn.
    pub fn end(&mut self, turn: CompactionTurn) {
        let mut next = CompactionTurn::new(&turn.lane, turn.tenant);
        if turn.has_more {
            next.after = turn.days.last().cloned();
            (next.has_lost_race, next.lost_races) = (turn.has_lost_race, turn.lost_races);
        } else {
            next.lost_races = turn.lost_races + u32::from(turn.has_lost_race);
        }
        if turn.has_failed || next.lost_races >= LOST_RACES {
            self.ended.remove(&turn.lane);
        } else if turn.has_more || turn.has_lost_race {
            self.waiting.push_back(next);
        } else if let Some(lane) = self.ended.get_mut(&turn.lane) {
            lane.tenants = lane.tenants.saturating_sub(1);
        }
    }

    /// A lane whose shard has ended and whose days are all compacted, with its watermark: the host deletes the watermark
    /// if it has not moved.
    pub fn forget(&mut self) -> Option<(String, Watermark)> {
        let lane = self.ended.iter().find(|(_, lane)| lane.tenants == 0).map(|(name, _)| name.clone())?;
        let EndedLane { watermark, .. } = self.ended.remove(&lane)?;
        Some((lane, watermark))
    }
}

impl CompactionTurn {
    fn new(lane: &str, tenant: Tenant) -> Self {
        Self {
            lane: lane.to_owned(),
            tenant,
            after: None,
            days: Vec::new(),
            has_more: false,
            has_lost_race: false,
            has_failed: false,
            lost_races: 0,
        }
    }

    /// The keys of the manifests from which the turn takes its days.
    pub fn manifests(&self) -> KeyRange {
        let all = KeyRange::of_all_manifests();
        match &self.after {
            Some(day) => KeyRange { from: day.until.clone(), ..all },
            None => all,
        }
    }

    /// Takes due days for this turn, in their order, given pages in [`CompactionTurn::manifests`]. Returns whether there is
    /// room for more.
    pub fn meet(&mut self, due: &[Compaction]) -> bool {
        for day in due {
            if self.days.len() == DAYS_A_TURN {
                self.has_more = true;
                break;
            }
            self.days.push(day.manifest());
        }
        !self.has_more
    }

    /// The keys of the manifests of the days to compact. The host reads each again just before it compacts the day.
    pub fn days(&self) -> Vec<KeyRange> {
        self.days.clone()
    }

    /// Says that a fold came between, so that a day is left.
    pub fn lose_race(&mut self) {
        self.has_lost_race = true;
    }

    /// Says that the store failed. The tenant's days are left to the next run.
    pub fn fail(&mut self) {
        self.has_failed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollups::compaction::DayManifest;
    use crate::rollups::key::Day;
    use crate::rollups::stored::StoredPage;

    const NOW: Millis = Millis(1_763_690_000_000);

    /// The due compactions of the first `days` days.
    fn due(days: u32) -> Vec<Compaction> {
        let manifests: Vec<StoredPage> = (0..days).map(|day| DayManifest::default().write(Day(day))).collect();
        Compaction::of(&manifests, NOW)
    }

    fn lanes(names: &[&str]) -> Lanes {
        let page = |name: &&str| StoredPage { key: (*name).to_owned(), bytes: Watermark::start().to_bytes() };
        Lanes::read(names.iter().map(page))
    }

    fn listed(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(lane, tenant)| ((*lane).to_owned(), (*tenant).to_owned())).collect()
    }

    #[test]
    fn a_tenant_with_many_days_keeps_none_waiting() {
        let mut round = CompactionRound::new(&lanes(&["a"]), listed(&[("a", "many"), ("a", "one")]), &[], NOW);
        let mut turns = Vec::new();
        while let Some(mut turn) = round.take() {
            assert_eq!(round.forget(), None);
            // Events open each day again as soon as it is compacted.
            let (days, all) = (due(if turn.tenant.as_str() == "many" { 250 } else { 1 }), turn.manifests());
            let left = days.into_iter().filter(|day| all.contains(&day.manifest().from));
            let taken = left.take_while(|day| turn.meet(std::slice::from_ref(day))).count();
            assert_eq!(taken, turn.days().len());
            turns.push((turn.tenant.as_str().to_owned(), turn.days().len()));
            round.end(turn);
        }
        let expected = [("many", 100), ("one", 1), ("many", 100), ("many", 50)];
        assert_eq!(turns, expected.map(|(tenant, days)| (tenant.to_owned(), days)));
        assert_eq!(round.forget(), Some(("a".to_owned(), Watermark::start())));
        assert_eq!(round.forget(), None);
    }

    #[test]
    fn days_of_a_lost_race_are_tried_again_but_not_for_ever() {
        let known = [Tenant::parse("t".to_owned()).unwrap()];
        for (lost, passes, forgets) in [(0, 1, true), (1, 2, true), (4, 5, true), (5, 5, false), (9, 5, false)] {
            let mut round = CompactionRound::new(&lanes(&["a"]), Vec::new(), &known, NOW);
            let mut begun = 0;
            while let Some(mut turn) = round.take() {
                let (days, all) = (due(150), turn.manifests());
                let left: Vec<_> = days.iter().filter(|day| all.contains(&day.manifest().from)).cloned().collect();
                turn.meet(&left);
                if turn.days().first() == days.first().map(Compaction::manifest).as_ref() {
                    begun += 1;
                    // The loss is remembered over the later turns of the pass.
                    (begun <= lost).then(|| turn.lose_race());
                }
                round.end(turn);
            }
            assert_eq!((begun, round.forget().is_some()), (passes, forgets), "{lost}");
        }
    }

    #[test]
    fn a_lane_is_forgotten_once_every_tenant_is_done_and_none_failed() {
        let names = [("a", "t"), ("a", "u"), ("b", "t"), ("b", "no tenant")];
        let mut round = CompactionRound::new(&lanes(&["a", "b", "c"]), listed(&names), &[], NOW);
        // No tenant has rollups in this lane.
        assert_eq!(round.forget().unwrap().0, "c");
        let mut turns = Vec::new();
        while let Some(mut turn) = round.take() {
            turns.push((turn.lane.clone(), turn.tenant.as_str().to_owned()));
            if turns.len() == 1 {
                turn.fail();
            }
            round.end(turn);
        }
        assert_eq!(turns, listed(&[("a", "t"), ("a", "u"), ("b", "t")]));
        assert_eq!(round.forget().unwrap().0, "b");
        assert_eq!(round.forget(), None);
    }
}
