//! The parts of the verdict's sentences.

use isotherm_hosts::Platform;

use crate::figures::added::Added;
use crate::figures::power::detectable_shares;
use crate::figures::ranks::Class;
use crate::model::cold::Start;
use crate::results::Comparison;
use crate::results::cost::Crossing;
use crate::results::deployed::Deployed;
use crate::stats::{Estimate, POWER};
use crate::words::{self, Quantity, Unit, capital, listed, multiple, short, title};

/// A figure's size in words, without its interval.
fn plain(value: f64, unit: Unit) -> String {
    Quantity::of(&Estimate { value, low: value, high: value }, unit).plain().replacen("/s", " requests/s", 1)
}

/// What Isotherm adds to each floor: `Isotherm adds 0.11 ms (0.05–0.17) to Lambda's floor of 1.51 ms (1.07×), …`. Rates
/// are told beside the floor's.
pub(super) fn adds(all: &[(Platform, Added)], unit: Unit) -> String {
    let one = |(platform, added): &(Platform, Added)| {
        let Added { own, floor, difference, multiple: ratio } = added;
        let of = possessive(title(*platform));
        let times = ratio.map_or_else(String::new, |ratio| format!(", {}×", multiple(ratio.value)));
        let floor = plain(floor.value, unit);
        if unit == Unit::PerSecond {
            return format!("{} on {} (its floor: {floor}{times})", plain(own.value, unit), title(*platform));
        }
        if difference.low < 0.0 && difference.high > 0.0 {
            let most = plain(difference.high.max(-difference.low), unit);
            return format!("nothing that can be told from 0 (less than {most}) to {of} floor ({floor}{times})");
        }
        let is_less = difference.value < 0.0;
        let size = |value: f64| if is_less { -value } else { value };
        let (low, high) = (size(difference.low), size(difference.high));
        let size = Estimate { value: size(difference.value), low: low.min(high), high: low.max(high) };
        let sign = if is_less { "−" } else { "" };
        format!("{sign}{} to {of} floor ({floor}{times})", Quantity::of(&size, unit).with_interval())
    };
    let verb = if unit == Unit::PerSecond { "answers" } else { "adds" };
    format!("Isotherm {verb} {}", listed(&all.iter().map(one).collect::<Vec<_>>()))
}

/// `Lambda's`, `Workers'`.
fn possessive(name: &str) -> String {
    if name.ends_with('s') { format!("{name}'") } else { format!("{name}'s") }
}

/// The places of a class: `native is ahead with 0.650 ms (…); Spin and Workers follow with …, can't be told apart`.
pub(super) fn follow(class: &Class, unit: Unit, more_is_better: bool) -> String {
    let place = |place: &Vec<(Platform, Estimate)>| {
        let one = |(platform, estimate): &(Platform, Estimate)| {
            format!("{} with {}", title(*platform), Quantity::of(estimate, unit).with_interval())
        };
        listed(&place.iter().map(one).collect::<Vec<_>>())
    };
    let Some((first, rest)) = class.places.split_first() else { return String::new() };
    let mut text = match (first.len(), rest.len()) {
        (1, _) => format!("{} is ahead", place(first)),
        (2, 0) => format!("{} can't be told apart", place(first)),
        _ => format!("{} are ahead and can't be told apart", place(first)),
    };
    for (at, group) in rest.iter().enumerate() {
        let before = class.places[at][0].1.value;
        let own = group[0].1.value;
        let (less, more) = (before.min(own), before.max(own));
        // Zero has no multiples. CPU time is counted in ticks, and a short run may have used none.
        let ratio = match less > 0.0 {
            true if more_is_better => format!(", {} of that", multiple(less / more)),
            true => format!(", {} times that", multiple(more / less)),
            false => String::new(),
        };
        let verb = if group.len() == 1 { "follows" } else { "follow and can't be told apart" };
        text.push_str(&format!("; {} {verb}{ratio}", place(group)));
    }
    text
}

/// What a cold start is expected to take, and what of that is published.
pub(super) fn expected(start: &Start) -> String {
    let (Some(expected), Some(published)) = (&start.expected, &start.published) else { return String::new() };
    format!(
        "{}: {} is published ({}); with what Isotherm adds here that makes {}.",
        capital(title(start.platform)),
        published.words,
        published.source,
        Quantity::of(expected, Unit::Ms).with_interval(),
    )
}

/// The smallest differences that the run could have seen.
pub(super) fn detectable(result: &Comparison) -> Option<String> {
    let shares = detectable_shares(result);
    let told: Vec<String> = shares
        .iter()
        .map(|(name, share)| match share {
            Some(share) => format!("{:.0} % in {name}", 100.0 * share),
            None => format!("none in {name}"),
        })
        .collect();
    (!told.is_empty()).then(|| {
        format!(
            "The smallest difference between two platforms that this run sees with a chance of {:.0} %: {}.",
            100.0 * POWER,
            listed(&told)
        )
    })
}

/// Explains why a deployment has `–` where platforms have figures.
pub(super) fn missing(deployed: &Deployed) -> String {
    let cold = if deployed.cold.is_none() { "; no cold starts, since --idle was not given" } else { "" };
    format!("{}: no CPU time, memory, artifact, meters or floor, which only its operator sees{cold}.", deployed.name)
}

/// The names of designs, given with commas, as a sentence lists them. The first part is the verb for them: `is` or
/// `are`.
pub(super) fn all_named(names: &str) -> (&'static str, String) {
    let names: Vec<String> = names.split(", ").map(words::named).collect();
    (if names.len() == 1 { "is" } else { "are" }, listed(&names))
}

/// A sentence about the volume at which another design becomes the cheapest.
pub(crate) fn crossing_in_words(Crossing { monthly_events, usd, below, above }: &Crossing) -> String {
    let ((is, below), (_, above)) = (all_named(below), all_named(above));
    let at = volume(*monthly_events);
    capital(&format!(
        "{below} {is} cheapest below {at} events a month, {above} above; there either costs {} USD a month",
        words::digits(*usd)
    ))
}

/// A volume in words, such as `340,000`, `1.2 million`, `3 billion`.
pub(crate) fn volume(events: f64) -> String {
    let (size, unit) = match events {
        v if v >= 999.5e6 => (1e9, " billion"),
        v if v >= 999.5e3 => (1e6, " million"),
        v => return words::digits(v),
    };
    let digits = short(events / size);
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{digits}{unit}")
}
