//! Ranks platforms by one figure, as far as their figures have the same scope.

use isotherm_hosts::Platform;

use crate::results::Measured;
use crate::results::figure::{COMPARED, estimate, is_counted, more_is_better};
use crate::results::scope::{Phase, Scope};
use crate::stats::{Estimate, differ};

/// Platforms whose figure has the same scope. Alone in its class, a platform is first of nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Class {
    pub(crate) scope: Scope,
    /// The platforms from best to worst, each place with those that can't be told apart from its best.
    pub(crate) places: Vec<Vec<(Platform, Estimate)>>,
}

impl Class {
    /// Whether there is more than one platform to rank.
    pub(crate) fn is_ranked(&self) -> bool {
        self.places.iter().map(Vec::len).sum::<usize>() > 1
    }

    /// Whether the platform has the best figure of its class, or ties with it, and has somebody to compare with.
    pub(crate) fn is_best(&self, platform: Platform) -> bool {
        self.is_ranked() && self.places.first().is_some_and(|best| best.iter().any(|(one, _)| *one == platform))
    }
}

/// The classes of the platforms for one figure, in the order of the platforms.
///
/// `stats::differ` decides over all ranked figures what ties. Counted figures differ if their values differ.
pub(crate) fn classes(platforms: &[&Measured], name: &str) -> Vec<Class> {
    let runs = platforms.iter().map(|measured| measured.runs.len()).min().unwrap_or(1);
    let comparisons = COMPARED.len() * platforms.len().saturating_sub(1);
    let is_tie = |a: &Estimate, b: &Estimate| {
        if is_counted(name) { a.value == b.value } else { !differ(a, b, runs, comparisons) }
    };
    let mut classes: Vec<(Scope, Vec<(Platform, Estimate)>)> = Vec::new();
    for measured in platforms {
        let Some(estimate) = estimate(&measured.figures, name) else { continue };
        let scope = Phase::of(name).and_then(|phase| measured.scopes.get(&phase)).cloned().unwrap_or_default();
        match classes.iter_mut().find(|(other, _)| *other == scope) {
            Some((_, members)) => members.push((measured.platform, estimate)),
            None => classes.push((scope, vec![(measured.platform, estimate)])),
        }
    }
    let ranked = |(scope, mut members): (Scope, Vec<(Platform, Estimate)>)| {
        members.sort_by(|(_, a), (_, b)| a.value.total_cmp(&b.value));
        if more_is_better(name) {
            members.reverse();
        }
        let mut places: Vec<Vec<(Platform, Estimate)>> = Vec::new();
        for member in members {
            match places.last_mut() {
                Some(place) if place.first().is_some_and(|(_, best)| is_tie(best, &member.1)) => place.push(member),
                _ => places.push(vec![member]),
            }
        }
        Class { scope, places }
    };
    classes.into_iter().map(ranked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn only_equal_scopes_are_ranked() {
        let result = sample();
        let platforms: Vec<&Measured> = result.platforms.iter().collect();
        let warm = classes(&platforms, "warm_p50");
        let names: Vec<Vec<Platform>> =
            warm.iter().map(|class| class.places.concat().iter().map(|(platform, _)| *platform).collect()).collect();
        assert_eq!(names, [vec![Platform::Lambda], vec![Platform::Workers, Platform::Spin, Platform::Native]]);
        assert!(!warm[0].is_ranked() && !warm[0].is_best(Platform::Lambda));
        assert!(warm[1].is_best(Platform::Workers) && !warm[1].is_best(Platform::Native));
        assert!(classes(&platforms, "cold_init_p50").iter().all(|class| !class.is_ranked()));
        let rate = classes(&platforms, "requests_per_second");
        assert!(rate[1].is_best(Platform::Workers) && !rate[1].is_best(Platform::Spin), "more is better");
    }
}
