//! Finds what changed between two runs and what is noise.
//!
//! Each figure of the later run is divided by the earlier one. Two results also differ in ways that neither of them
//! shows, such as another neighbour on the machine or another temperature. The floors run the same hello function in
//! both and show how much. A figure counts as changed if it moved by more than its platform's floor did, by more than
//! [`LEAST`], and by more than chance explains. [`crate::stats`] judges chance by Welch's t test over all figures that
//! both results have (false-discovery rate). If both results have several runs (`--repeat`), chance covers the differences between
//! runs. Otherwise it only covers the differences between resamples of one run. Sizes are counted and not sampled, so
//! any difference between them is a change.

use isotherm_hosts::Platform;
use schemars::JsonSchema;
use serde::Serialize;

use crate::results::figure::{COMPARED, estimate, is_counted, report_medians};
use crate::results::{Comparison, Measured};
use crate::stats::{Estimate, FALSE_DISCOVERIES, LEAST, Spread, false_discovery_rates};

/// A figure in both runs.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Change {
    pub(crate) platform: Platform,
    /// The figure's name, as in a result's `ratio`, or `report:<name>_p50` or `freshness_p50`.
    pub(crate) figure: String,
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// The later value as a multiple of the earlier one.
    pub(crate) ratio: Estimate,
    /// Ratios between 1 / (1 + noise) and 1 + noise are not a change.
    pub(crate) noise: f64,
    /// The least false-discovery rate at which the figure counts as changed.
    pub(crate) p: f64,
    /// The smallest change, as a share, that this comparison sees with a chance of 80 % if it is the only one; `None` if
    /// the figure is counted, or is too uncertain for any.
    pub(crate) detectable: Option<f64>,
    #[serde(skip)]
    spread: Spread,
    pub(crate) verdict: Verdict,
}

/// The judgement of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Better,
    Worse,
    /// The two values can't be told apart.
    Tie,
}

/// The only figure for which more is better.
const REQUESTS_PER_SECOND: &str = "requests_per_second";
/// This figure follows from the requests and would say the same twice.
const EVENTS_PER_SECOND: &str = "events_per_second";

/// Every figure that both runs have, compared.
pub(crate) fn changes(before: &Comparison, after: &Comparison) -> Vec<Change> {
    let mut changes = Vec::new();
    for later in &after.platforms {
        if let Some(earlier) = before.platforms.iter().find(|earlier| earlier.platform == later.platform) {
            changes.extend(all_of(earlier).filter_map(|(figure, was)| {
                let (_, is) = all_of(later).find(|(name, _)| *name == figure)?;
                change([earlier, later], figure, [was, is])
            }));
        }
    }
    let p_values: Vec<f64> = changes.iter().map(|change| change.p).collect();
    let alone = FALSE_DISCOVERIES / p_values.len().max(1) as f64;
    for (change, p) in changes.iter_mut().zip(false_discovery_rates(&p_values)) {
        change.p = p;
        change.detectable = change.spread.detectable(alone, change.noise);
        change.verdict = verdict(change);
    }
    changes
}

/// A platform's figures by name. Less is better, except for rates.
fn all_of(measured: &Measured) -> impl Iterator<Item = (String, Estimate)> {
    let names = COMPARED.iter().map(|(name, _)| *name).filter(|name| *name != EVENTS_PER_SECOND);
    let own = names.filter_map(|name| Some((name.to_owned(), estimate(&measured.figures, name)?)));
    own.chain(report_medians(&measured.reports))
}

/// The change of one figure. Its probability is not corrected for other figures yet, and its verdict is still a tie.
fn change(of: [&Measured; 2], figure: String, values: [Estimate; 2]) -> Option<Change> {
    let ratio = ratio(of, values)?;
    let floor = if is_counted(&figure) { None } else { moved(of, &figure) };
    let noise = match &floor {
        _ if is_counted(&figure) => 0.0,
        Some(floor) => floor.moved().max(LEAST),
        None => LEAST,
    };
    let p = ratio.p_value(noise, floor.as_ref());
    let [before, after] = values.map(|estimate| estimate.value);
    let (platform, spread, verdict) = (of[0].platform, ratio, Verdict::Tie);
    let ratio = spread.estimate();
    Some(Change { platform, figure, before, after, ratio, noise, p, detectable: None, spread, verdict })
}

/// The later value as a multiple of the earlier one.
fn ratio(of: [&Measured; 2], [was, is]: [Estimate; 2]) -> Option<Spread> {
    Some(Spread::of(&is, of[1].runs.len())?.over(&Spread::of(&was, of[0].runs.len())?))
}

/// How the floor moved by the same figure.
fn moved(of: [&Measured; 2], figure: &str) -> Option<Spread> {
    // A report is a request like the others, and floors have no reports.
    let name = if COMPARED.iter().any(|(name, _)| *name == figure) { figure } else { "warm_p50" };
    ratio(of, [estimate(&of[0].floor, name)?, estimate(&of[1].floor, name)?])
}

fn verdict(Change { figure, ratio, p, .. }: &Change) -> Verdict {
    match (*p <= FALSE_DISCOVERIES, (ratio.value > 1.0) == (figure == REQUESTS_PER_SECOND)) {
        (false, _) => Verdict::Tie,
        (true, true) => Verdict::Better,
        (true, false) => Verdict::Worse,
    }
}

impl Change {
    /// How much worse the figure became, as a share: 0.1 is 10 %; below 0 it became better.
    pub(crate) fn worse_by(&self) -> f64 {
        if self.figure == REQUESTS_PER_SECOND { self.ratio.value.recip() - 1.0 } else { self.ratio.value - 1.0 }
    }
}
