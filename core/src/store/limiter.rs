//! Rate limits: how many events a key and a tenant may send.
//!
//! GCRA: a bucket is one timestamp, when it will be empty. Each event adds one interval. A request is refused if the
//! timestamp would lie more than a burst ahead, unless the bucket is empty now.
//!
//! A host keeps one [`Limiter`] in memory for as long as it can. A host that loses it starts with empty buckets, so a
//! client may send once more what it has sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::admission::allowances::{Allowance, Of, Rate, Rule};
use crate::vocabulary::limits::Limits;
use crate::vocabulary::refused::Refused;
use crate::vocabulary::time::Millis;

const NANOS_A_SECOND: u64 = 1_000_000_000;
const NANOS_A_MILLI: u64 = 1_000_000;
const DAY_SECONDS: u64 = 24 * 60 * 60;
/// Buckets are not pruned below this number. Pruning is needed because tokens can name any number of tenants.
const BUCKETS: usize = 4096;

/// What keys and tenants have sent lately.
#[derive(Clone, Debug, Default)]
pub struct Limiter {
    buckets: BTreeMap<(Of, String), Bucket>,
    /// With more buckets than this, those that equal new ones are dropped.
    most: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Nanoseconds since 1970.
    empty_at: u64,
    day: u64,
    sent_on_day: u64,
}

/// A request's rules, and how it stands with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) rules: Vec<Rule>,
    pub(crate) refused: Option<Refused>,
    /// The value of the header `ratelimit`; empty while nobody has asked a [`Limiter`].
    remaining: String,
}

/// What is left of one policy after a request.
struct Left {
    events: u64,
    seconds: u64,
}

impl Rule {
    /// The names of its policies in headers: of its rate and of its quota.
    fn names(&self) -> [&'static str; 2] {
        match self.of {
            Of::Key => ["key", "key-day"],
            Of::Tenant => ["tenant", "tenant-day"],
        }
    }
}

impl Allowance {
    /// One of `parts` equal parts.
    fn part(self, parts: u32) -> Self {
        let parts = u64::from(parts.max(1));
        let rate = self.rate.map(|Rate { events, seconds, burst }| Rate {
            events,
            seconds: seconds.saturating_mul(parts),
            burst: burst.div_ceil(parts),
        });
        Self { rate, daily: self.daily.map(|daily| daily.div_ceil(parts)) }
    }
}

impl Limiter {
    /// Takes events from what each rule allows at `now`. If one rule refuses, nothing is taken from any. This limiter
    /// has one of `parts` equal parts of each allowance.
    pub(crate) fn take(&mut self, standing: &mut Standing, events: usize, now: Millis, parts: u32) {
        let (events, now) = (events as u64, now.0.saturating_mul(NANOS_A_MILLI));
        let mut after = Vec::new();
        for rule in &standing.rules {
            let key = (rule.of, rule.name.clone());
            let bucket = self.buckets.get(&key).copied().unwrap_or_default();
            let allowance = rule.allowance.part(parts);
            match bucket.after(allowance, events, now) {
                Ok(bucket) => after.push((key, bucket)),
                Err(refused) => {
                    let worst = standing.refused.filter(|worst| worst.retry_after >= refused.retry_after);
                    standing.refused = worst.or(Some(refused));
                }
            }
        }
        if standing.refused.is_none() {
            self.buckets.extend(after);
            if self.buckets.len() > self.most.max(BUCKETS) {
                self.buckets.retain(|_, bucket| bucket.matters(now));
                self.most = 2 * self.buckets.len();
            }
        }
        if parts == 1 {
            standing.remaining = self.remaining(&standing.rules, now);
        }
    }

    /// Gives back events that were taken at `now`, because the store has not kept them.
    pub(crate) fn give_back(&mut self, standing: &mut Standing, events: usize, now: Millis) {
        let (events, now) = (events as u64, now.0.saturating_mul(NANOS_A_MILLI));
        for rule in &standing.rules {
            if let Some(bucket) = self.buckets.get_mut(&(rule.of, rule.name.clone())) {
                bucket.give_back(rule.allowance, events, now);
            }
        }
        standing.remaining = self.remaining(&standing.rules, now);
    }

    /// The value of the header `ratelimit`.
    fn remaining(&self, rules: &[Rule], now: u64) -> String {
        let mut header = String::new();
        for rule in rules {
            let bucket = self.buckets.get(&(rule.of, rule.name.clone())).copied().unwrap_or_default();
            for (name, left) in rule.names().into_iter().zip(bucket.left(rule.allowance, now)) {
                let Some(Left { events, seconds }) = left else { continue };
                let separator = if header.is_empty() { "" } else { ", " };
                // Writing to a String cannot fail.
                let _written = write!(header, "{separator}\"{name}\";r={events};t={seconds}");
            }
        }
        header
    }
}

impl Standing {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// The headers about rate limits in an answer, whether the events were taken or not.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if self.rules.is_empty() {
            return headers;
        }
        let mut policy = String::new();
        for rule in &self.rules {
            let [rate, quota] = rule.names();
            let Allowance { rate: of_rate, daily } = rule.allowance;
            let of_rate = of_rate.map(|Rate { events, seconds, .. }| (rate, events, seconds));
            for (name, events, seconds) in of_rate.into_iter().chain(daily.map(|events| (quota, events, DAY_SECONDS))) {
                let separator = if policy.is_empty() { "" } else { ", " };
                // Writing to a String cannot fail.
                let _written = write!(policy, "{separator}\"{name}\";q={events};w={seconds}");
            }
        }
        headers.push(("ratelimit-policy", policy));
        if !self.remaining.is_empty() {
            headers.push(("ratelimit", self.remaining.clone()));
        }
        headers
    }
}

impl Rate {
    /// Nanoseconds from one event to the next at this rate.
    fn interval(self) -> u64 {
        self.seconds.saturating_mul(NANOS_A_SECOND) / self.events.max(1)
    }

    /// How many nanoseconds ahead the bucket may be: a burst's.
    fn tolerance(self) -> u64 {
        self.interval().saturating_mul(self.burst)
    }
}

impl Bucket {
    /// When the bucket is empty, as seen from now. If it is further ahead than any request moves it, the clock has gone
    /// back, and it is empty.
    fn empty_at(self, rate: Rate, now: u64) -> u64 {
        let request = rate.interval().saturating_mul(Limits::CONTRACT.batch_events as u64);
        let furthest = now.saturating_add(rate.tolerance()).saturating_add(request);
        if self.empty_at > furthest { now } else { self.empty_at.max(now) }
    }

    /// True if the bucket differs from a new one.
    fn matters(self, now: u64) -> bool {
        self.empty_at > now || self.sent_on(now / NANOS_A_SECOND / DAY_SECONDS) > 0
    }

    fn sent_on(self, day: u64) -> u64 {
        if self.day == day { self.sent_on_day } else { 0 }
    }

    /// The bucket after these events.
    fn after(self, allowance: Allowance, events: u64, now: u64) -> Result<Self, Refused> {
        let mut after = self;
        if let Some(rate) = allowance.rate {
            let (empty_at, tolerance) = (self.empty_at(rate, now), rate.tolerance());
            after.empty_at = empty_at.saturating_add(rate.interval().saturating_mul(events));
            let ahead = after.empty_at - now;
            // An empty bucket takes even a request with more events than a burst. Later requests wait for it.
            if ahead > tolerance && empty_at > now {
                let wait = if events <= rate.burst { ahead - tolerance } else { empty_at - now };
                return Err(Refused { is_quota: false, retry_after: seconds(wait) });
            }
        }
        if let Some(daily) = allowance.daily {
            let (day, rest) = (now / NANOS_A_SECOND / DAY_SECONDS, now % (DAY_SECONDS * NANOS_A_SECOND));
            let sent = self.sent_on(day);
            (after.day, after.sent_on_day) = (day, sent.saturating_add(events));
            // A day that is untouched takes even a request with more events than the quota; where a quota has parts, each
            // part does.
            if after.sent_on_day > daily && sent > 0 {
                let wait = DAY_SECONDS * NANOS_A_SECOND - rest;
                return Err(Refused { is_quota: true, retry_after: seconds(wait) });
            }
        }
        Ok(after)
    }

    /// Takes back what [`Bucket::after`] added for these events. On the next day the quota is a new one.
    fn give_back(&mut self, allowance: Allowance, events: u64, now: u64) {
        if let Some(rate) = allowance.rate {
            self.empty_at = self.empty_at.saturating_sub(rate.interval().saturating_mul(events));
        }
        if self.day == now / NANOS_A_SECOND / DAY_SECONDS {
            self.sent_on_day = self.sent_on_day.saturating_sub(events);
        }
    }

    /// What is left of the rate, and of the quota.
    fn left(self, allowance: Allowance, now: u64) -> [Option<Left>; 2] {
        let of_rate = allowance.rate.map(|rate| {
            let ahead = self.empty_at(rate, now) - now;
            let events = rate.tolerance().saturating_sub(ahead) / rate.interval().max(1);
            Left { events, seconds: ahead.div_ceil(NANOS_A_SECOND) }
        });
        let of_quota = allowance.daily.map(|daily| {
            let rest = now % (DAY_SECONDS * NANOS_A_SECOND);
            let sent = self.sent_on(now / NANOS_A_SECOND / DAY_SECONDS);
            Left { events: daily.saturating_sub(sent), seconds: DAY_SECONDS - rest / NANOS_A_SECOND }
        });
        [of_rate, of_quota]
    }
}

/// Rounds up to whole seconds, at least one.
fn seconds(nanos: u64) -> u32 {
    u32::try_from(nanos.div_ceil(NANOS_A_SECOND).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Millis = Millis(1_763_726_400_000);

    fn rule(of: Of, rate: Option<(u64, u64, u64)>, daily: Option<u64>) -> Rule {
        let rate = rate.map(|(events, seconds, burst)| Rate { events, seconds, burst });
        Rule { of, name: "a".to_owned(), allowance: Allowance { rate, daily } }
    }

    /// Takes events some milliseconds after noon. Returns seconds to wait, or 0.
    fn take(limiter: &mut Limiter, rules: &[Rule], events: usize, after: u64) -> (u32, bool) {
        let mut standing = Standing::new(rules.to_vec());
        limiter.take(&mut standing, events, Millis(NOON.0 + after), 1);
        standing.refused.map_or((0, false), |Refused { is_quota, retry_after }| (retry_after, is_quota))
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (mut limiter, rules) = (Limiter::default(), [rule(Of::Key, Some((10, 1, 20)), None)]);
        assert_eq!(take(&mut limiter, &rules, 20, 0), (0, false));
        assert_eq!(take(&mut limiter, &rules, 1, 0), (1, false));
        assert_eq!(take(&mut limiter, &rules, 1, 99), (1, false));
        assert_eq!(take(&mut limiter, &rules, 1, 100), (0, false));
        assert_eq!(take(&mut limiter, &rules, 15, 100), (2, false));
        assert_eq!(take(&mut limiter, &rules, 15, 1600), (0, false));
        // Two seconds later all of a burst may come again, and no more.
        assert_eq!(take(&mut limiter, &rules, 20, 3600), (0, false));
        assert_eq!(take(&mut limiter, &rules, 1, 3600), (1, false));
    }

    #[test]
    fn a_request_larger_than_a_burst_is_taken_once_and_waited_for() {
        let (mut limiter, rules) = (Limiter::default(), [rule(Of::Key, Some((10, 1, 20)), None)]);
        assert_eq!(take(&mut limiter, &rules, 100, 0), (0, false));
        assert_eq!(take(&mut limiter, &rules, 1, 0), (9, false));
        assert_eq!(take(&mut limiter, &rules, 100, 0), (10, false));
        assert_eq!(take(&mut limiter, &rules, 1, 8100), (0, false));
        assert_eq!(take(&mut limiter, &rules, 100, 9000), (2, false));
        assert_eq!(take(&mut limiter, &rules, 100, 10_100), (0, false));
    }

    #[test]
    fn a_days_quota_ends_with_the_day() {
        let (mut limiter, rules) = (Limiter::default(), [rule(Of::Tenant, None, Some(100))]);
        let half_a_day = 12 * 60 * 60;
        assert_eq!(take(&mut limiter, &rules, 60, 0), (0, false));
        assert_eq!(take(&mut limiter, &rules, 60, 500), (half_a_day, true));
        assert_eq!(take(&mut limiter, &rules, 40, 1000), (0, false));
        assert_eq!(take(&mut limiter, &rules, 1, 1000), (half_a_day - 1, true));
        assert_eq!(take(&mut limiter, &rules, 100, u64::from(half_a_day) * 1000), (0, false));
    }

    #[test]
    fn what_the_store_has_not_kept_is_given_back() {
        let rules = [rule(Of::Key, Some((1, 1, 60)), None), rule(Of::Tenant, None, Some(100))];
        let mut limiter = Limiter::default();
        let mut standing = Standing::new(rules.to_vec());
        limiter.take(&mut standing, 60, NOON, 1);
        limiter.give_back(&mut standing, 20, NOON);
        assert!(standing.remaining.contains(r#""key";r=20;t=40, "tenant-day";r=60;"#), "{}", standing.remaining);
        assert_eq!(take(&mut limiter, &rules, 20, 0), (0, false));
        assert_eq!(take(&mut limiter, &rules, 40, 60_000), (0, false));
        assert!(take(&mut limiter, &rules, 1, 120_000).1);
        // The events of yesterday are of yesterday's quota.
        let day = DAY_SECONDS * 1000;
        assert_eq!(take(&mut limiter, &rules, 60, day), (0, false));
        limiter.give_back(&mut standing, 60, NOON);
        assert!(take(&mut limiter, &rules, 60, day + 60_000).1);
    }

    #[test]
    fn what_one_rule_refuses_is_taken_from_none() {
        let (key, tenant) = (rule(Of::Key, Some((1, 1, 5)), None), rule(Of::Tenant, Some((1, 1, 10)), None));
        let mut limiter = Limiter::default();
        let both = [key.clone(), tenant.clone()];
        assert_eq!(take(&mut limiter, &both, 5, 0), (0, false));
        for _ in 0..10 {
            assert_eq!(take(&mut limiter, &both, 5, 0), (5, false));
        }
        assert_eq!(take(&mut limiter, std::slice::from_ref(&tenant), 5, 0), (0, false));
        assert_eq!(take(&mut limiter, std::slice::from_ref(&tenant), 5, 0), (5, false));
        let other = Rule { name: "b".to_owned(), ..key };
        assert_eq!(take(&mut limiter, &[other], 5, 0), (0, false));
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out() {
        let (mut limiter, rules) = (Limiter::default(), [rule(Of::Key, Some((1, 1, 5)), Some(50))]);
        assert_eq!(take(&mut limiter, &rules, 5, 1_000_000_000), (0, false));
        assert_eq!(take(&mut limiter, &rules, 5, 0), (0, false));
    }

    #[test]
    fn buckets_that_are_empty_again_are_forgotten() {
        let mut limiter = Limiter::default();
        for tenant in 0..20_000 {
            let rule = Rule { name: tenant.to_string(), ..rule(Of::Tenant, Some((1, 1, 5)), None) };
            assert_eq!(take(&mut limiter, &[rule], 5, tenant), (0, false));
        }
        assert!(limiter.buckets.len() <= 2 * 5001, "{}", limiter.buckets.len());
        let last = Rule { name: "19999".to_owned(), ..rule(Of::Tenant, Some((1, 1, 5)), None) };
        assert_eq!(take(&mut limiter, &[last], 5, 20_000), (5, false));
    }

    #[test]
    fn headers_say_what_is_left() {
        let rules = vec![rule(Of::Key, Some((10, 2, 20)), Some(1000)), rule(Of::Tenant, Some((100, 1, 100)), None)];
        let (mut limiter, mut standing) = (Limiter::default(), Standing::new(rules));
        let policy = ("ratelimit-policy", r#""key";q=10;w=2, "key-day";q=1000;w=86400, "tenant";q=100;w=1"#.to_owned());
        assert_eq!(standing.headers(), std::slice::from_ref(&policy));
        limiter.take(&mut standing, 15, NOON, 1);
        let left = ("ratelimit", r#""key";r=5;t=3, "key-day";r=985;t=43200, "tenant";r=85;t=1"#.to_owned());
        assert_eq!(standing.headers(), [policy.clone(), left.clone()]);
        limiter.take(&mut standing, 10, NOON, 1);
        assert_eq!((standing.headers(), standing.refused.is_some()), (vec![policy, left], true));
        assert_eq!(Standing::default().headers(), []);
    }

    proptest! {
        /// However requests come, no more than a burst and the rate pass in any window that begins at noon; and the parts
        /// of shards together are no more than a burst's rounding above the whole.
        #[test]
        fn no_more_passes_than_is_allowed(
            requests in prop::collection::vec((1..10_usize, 0..400_u64), 1..200),
            events in 1..50_u64,
            seconds in 1..5_u64,
            burst in 10..40_u64,
            parts in 1..5_u32,
        ) {
            let rules = vec![rule(Of::Key, Some((events, seconds, burst)), None)];
            let mut limiters = vec![Limiter::default(); parts as usize];
            let (mut now, mut passed) = (NOON, 0);
            for (at, (count, wait)) in requests.into_iter().enumerate() {
                now = Millis(now.0 + wait);
                let mut standing = Standing::new(rules.clone());
                limiters[at % parts as usize].take(&mut standing, count, now, parts);
                passed += if standing.refused.is_none() { count as u64 } else { 0 };
            }
            let elapsed = now.0 - NOON.0;
            // Each part may take one request of at most nine events more than its share of a burst.
            let allowed = elapsed * events / (seconds * 1000) + burst + u64::from(parts) * 10;
            prop_assert!(passed <= allowed, "{passed} > {allowed}");
        }
    }
}
