//! The verdict: what the figures say, in sentences with the figures behind each.
//!
//! A platform is best only if `stats::differ` can tell it from every other; otherwise the verdict calls it a tie.
//! Platforms with missing or wrong answers are not judged.

use isotherm_hosts::Platform;

use crate::compare::deployed::Deployed;
use crate::compare::figures::{estimate, ranks};
use crate::compare::page::{Cost, Crossing, Kind};
use crate::compare::result::{Comparison, Measured};
use crate::compare::words::{self, Quantity, Unit, capital, grouped, listed, multiple, short};
use crate::stats::Estimate;

/// With fewer samples, the 99th percentile is hardly more than the largest sample.
const ENOUGH_FOR_P99: usize = 100;

/// The conclusions from a result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The best platforms, one sentence per question.
    pub answers: Vec<Sentence>,
    /// The conditions under which the answer changes.
    pub flips: Vec<Sentence>,
    /// The problems that keep a platform out of the verdict.
    pub warnings: Vec<String>,
    /// What to know before relying on the verdict.
    pub caveats: Vec<String>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// The question, such as `Fastest cold`.
    pub question: &'static str,
    /// The answer in a word or two: a name, or a tie.
    pub answer: String,
    /// The answer in full.
    pub text: String,
    /// The source of its figures.
    pub kind: Kind,
    /// The figures, best first.
    pub basis: Vec<Basis>,
}

/// A figure behind a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    /// The name of the platform or design.
    pub name: String,
    /// The figure with its interval, in the unit behind `shown`.
    pub estimate: Estimate,
    /// The figure with its interval, in words.
    pub shown: String,
}

/// A question that one figure answers.
struct Question {
    question: &'static str,
    figure: &'static str,
    unit: Unit,
    /// The verb for one platform, and for several.
    verbs: [&'static str; 2],
    /// The words after the figure: what was measured, and how.
    what: String,
    /// The words after a multiple: `as long`, `as many`.
    times: &'static str,
    more_is_better: bool,
}

impl Verdict {
    /// The verdict on a result.
    pub fn of(result: &Comparison) -> Self {
        let judged: Vec<&Measured> = result.platforms.iter().filter(|measured| measured.errors == 0).collect();
        let mut verdict = Self { warnings: warnings(result), caveats: caveats(result), ..Self::default() };
        if judged.is_empty() {
            return verdict;
        }
        verdict.answers.extend(questions(result).iter().filter_map(|question| answer(question, &judged)));
        if let Some(cost) = &result.cost {
            // The cost goes after the first two answers.
            let place = verdict.answers.len().min(2);
            verdict.answers.splice(place..place, cheapest(cost));
            verdict.flips.extend(cost.crossings.iter().map(|at| crossing(cost, at)));
        }
        verdict
            .answers
            .extend(result.deployments.iter().filter_map(|deployed| over_the_network(deployed, result, &judged)));
        verdict.flips.extend(tail("Cold", "cold_first_response", &judged));
        verdict.flips.extend(tail("Warm", "warm", &judged));
        verdict.flips.extend(cold_against_warm(&judged));
        verdict
    }

    /// The verdict line by line, for plain text.
    pub(super) fn lines(&self) -> Vec<String> {
        let sentence = |sentence: &Sentence| {
            let kind =
                if sentence.kind == Kind::Measured { String::new() } else { format!(" [{}]", sentence.kind.word()) };
            format!("{}: {}{kind}", sentence.question, sentence.text)
        };
        let sentences = self.answers.iter().chain(&self.flips).map(sentence);
        let warnings = self.warnings.iter().map(|text| format!("Warning: {text}"));
        sentences.chain(warnings).chain(self.caveats.iter().map(|text| format!("Note: {text}"))).collect()
    }
}

fn questions(result: &Comparison) -> [Question; 4] {
    let workload = &result.workload.workload;
    [
        Question {
            question: "Fastest cold",
            figure: "cold_first_response_p50",
            unit: Unit::Ms,
            verbs: ["takes", "take"],
            what: format!(
                "from a cold start to the first byte of the answer (median of {})",
                grouped((workload.cold.samples * result.runs()) as u64)
            ),
            times: "as long",
            more_is_better: false,
        },
        Question {
            question: "Fastest warm",
            figure: "warm_p50",
            unit: Unit::Ms,
            verbs: ["takes", "take"],
            what: format!("to answer at {} requests/s (median)", workload.warm.rate),
            times: "as long",
            more_is_better: false,
        },
        Question {
            question: "Highest throughput",
            figure: "requests_per_second",
            unit: Unit::PerSecond,
            verbs: ["answers", "answer"],
            what: format!("over {} connections", workload.throughput.connections),
            times: "as many",
            more_is_better: true,
        },
        Question {
            question: "Least CPU time",
            figure: "cpu_ms_per_request",
            unit: Unit::Ms,
            verbs: ["uses", "use"],
            what: "of CPU time a request".into(),
            times: "as much",
            more_is_better: false,
        },
    ]
}

/// The best platform by one figure, and by how much.
fn answer(question: &Question, judged: &[&Measured]) -> Option<Sentence> {
    let ranks = ranks(judged, question.figure, question.more_is_better);
    let basis: Vec<Basis> = ranks
        .iter()
        .flatten()
        .map(|(platform, estimate)| basis(words::title(*platform), *estimate, question.unit))
        .collect();
    let (first, rest) = basis.split_at(ranks.first()?.len());
    let Question { verbs, what, times, .. } = question;
    Some(Sentence {
        question: question.question,
        answer: answer_of(first),
        text: superlative(first, rest.first(), *verbs, what, times),
        kind: Kind::Measured,
        basis,
    })
}

/// A deployment's warm latency, and the part of the network in it. It stands beside the platforms and is not ranked
/// with them.
fn over_the_network(deployed: &Deployed, result: &Comparison, judged: &[&Measured]) -> Option<Sentence> {
    if deployed.errors > 0 {
        return None;
    }
    let Deployed { name, url, warm, network, .. } = deployed;
    let (warm, connect) =
        (basis(name, warm.latency.p50, Unit::Ms), basis("one round trip", network.connect.p50, Unit::Ms));
    let best = ranks(judged, "warm_p50", false).first()?.first().map(|(platform, estimate)| {
        format!("{} with {}", words::title(*platform), Quantity::of(estimate, Unit::Ms).plain())
    })?;
    let text = format!(
        "{name} at {url} takes {} to answer at {} requests/s (median), the network included: to connect, one round trip, takes {}. Not ranked with the \
         platforms here, which have no network in their figures; the fastest of them warm is {best}.",
        warm.shown, result.workload.workload.warm.rate, connect.shown
    );
    Some(Sentence {
        question: "Over the network",
        answer: name.clone(),
        text,
        kind: Kind::Measured,
        basis: vec![warm, connect],
    })
}

/// The name of the best, or the names of all that tie.
fn answer_of(first: &[Basis]) -> String {
    let names: Vec<&str> = first.iter().map(|basis| basis.name.as_str()).collect();
    if first.len() > 1 { format!("Tie: {}", listed(&names)) } else { names.concat() }
}

/// A sentence such as `A takes 1 ms (…) to …; B follows with 2 ms (…), 2.00 times as long.`
fn superlative(first: &[Basis], next: Option<&Basis>, verbs: [&str; 2], what: &str, times: &str) -> String {
    let names: Vec<&str> = first.iter().map(|basis| basis.name.as_str()).collect();
    // A rate counts requests.
    let figure = |basis: &Basis| basis.shown.replacen("/s", " requests/s", 1);
    let figures = listed(&first.iter().map(figure).collect::<Vec<_>>());
    let said = match (first, next) {
        ([best], Some(next)) => {
            let (best, other) = (best.estimate.value, next.estimate.value);
            let (next, shown) = (&next.name, figure(next));
            // Zero has no multiples. CPU time is counted in ticks, and a short run may have used none.
            let ratio = (best.min(other) > 0.0).then(|| multiple(best.max(other) / best.min(other)));
            let compared = match ratio {
                Some(ratio) if best > other => format!("that is {ratio} times {times} as {next} with {shown}"),
                Some(ratio) => format!("{next} follows with {shown}, {ratio} times {times}"),
                None => format!("{next} follows with {shown}"),
            };
            format!("{} {} {figures} {what}; {compared}.", names.concat(), verbs[0])
        }
        ([_], None) => {
            format!("{} {} {figures} {what}; there is nothing to compare it with.", names.concat(), verbs[0])
        }
        (_, next) => {
            let follows = next
                .map_or_else(String::new, |next| format!(" {} follows with {}.", capital(&next.name), figure(next)));
            let both = listed(&names);
            format!("{both} tie: they {} {figures} {what}, and can't be told apart.{follows}", verbs[1])
        }
    };
    capital(&said)
}

fn basis(name: &str, estimate: Estimate, unit: Unit) -> Basis {
    Basis { name: name.to_owned(), estimate, shown: Quantity::of(&estimate, unit).with_interval() }
}

/// The cheapest design for a million events, at the volume of the cost lines.
fn cheapest(cost: &Cost) -> Option<Sentence> {
    let mut lines: Vec<_> = cost.lines.iter().collect();
    lines.sort_by(|a, b| a.total.value.total_cmp(&b.total.value));
    let best = lines.first()?;
    let tied = lines.iter().take_while(|line| line.total.ties(&best.total)).count();
    let basis: Vec<Basis> = lines.iter().map(|line| basis(&words::named(&line.name), line.total, Unit::Usd)).collect();
    let (first, rest) = basis.split_at(tied);
    let what = format!("for a million events at {} events a month", volume(cost.monthly_events));
    Some(Sentence {
        question: "Cheapest",
        answer: answer_of(first),
        text: superlative(first, rest.first(), ["costs", "cost"], &what, "as much"),
        kind: cost.kind,
        basis,
    })
}

fn crossing(cost: &Cost, crossing: &Crossing) -> Sentence {
    Sentence {
        question: "Cost",
        answer: all_named(&crossing.above).1,
        text: format!("{}.", crossing_in_words(crossing)),
        kind: cost.kind,
        basis: vec![],
    }
}

/// The names of designs, given with commas, as a sentence lists them. The first part is the verb for them: `is` or
/// `are`.
fn all_named(names: &str) -> (&'static str, String) {
    let names: Vec<String> = names.split(", ").map(words::named).collect();
    (if names.len() == 1 { "is" } else { "are" }, listed(&names))
}

/// A sentence about the volume at which another design becomes the cheapest.
pub(super) fn crossing_in_words(Crossing { monthly_events, usd, below, above }: &Crossing) -> String {
    let ((is, below), (_, above)) = (all_named(below), all_named(above));
    let at = volume(*monthly_events);
    capital(&format!(
        "{below} {is} cheapest below {at} events a month, {above} above; there either costs {} USD a month",
        words::digits(*usd)
    ))
}

/// A volume in words, such as `340,000`, `1.2 million`, `3 billion`.
pub(super) fn volume(events: f64) -> String {
    let (size, unit) = match events {
        v if v >= 999.5e6 => (1e9, " billion"),
        v if v >= 999.5e3 => (1e6, " million"),
        v => return words::digits(v),
    };
    let digits = short(events / size);
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{digits}{unit}")
}

/// A sentence for the case that the best by the median are not the best by the 99th percentile.
fn tail(question: &'static str, figure: &str, judged: &[&Measured]) -> Option<Sentence> {
    let enough = |measured: &&Measured| {
        let n = if figure == "warm" { measured.figures.warm.latency.n } else { measured.figures.cold.first_response.n };
        n >= ENOUGH_FOR_P99
    };
    if judged.len() < 2 || !judged.iter().all(enough) {
        return None;
    }
    let of = |quantile: &str| ranks(judged, &format!("{figure}_{quantile}"), false);
    let (median, slow) = (of("p50"), of("p99"));
    let [(leader, _)] = median.first()?.as_slice() else { return None };
    let best = slow.first()?;
    let places: Vec<Basis> =
        slow.iter().flatten().map(|(platform, estimate)| basis(words::title(*platform), *estimate, Unit::Ms)).collect();
    let shown: Vec<String> =
        places.iter().take(best.len()).map(|place| format!("{} with {}", place.name, place.shown)).collect();
    let leads = best.iter().any(|(platform, _)| platform == leader);
    let leader = words::title(*leader);
    let own = places.iter().find(|place| place.name == leader)?;
    let text = match (leads, best.len()) {
        (true, 1) => return None,
        (true, _) => format!("the lead of {leader} is gone, they can't be told apart: {}.", listed(&shown)),
        (false, 1) => format!("{} leads; {leader}, first at the median, has {}.", shown.concat(), own.shown),
        (false, _) => format!("{} tie; {leader}, first at the median, has {}.", listed(&shown), own.shown),
    };
    let answer = answer_of(places.get(..best.len())?);
    Some(Sentence {
        question,
        answer,
        text: format!("at the 99th percentile {text}"),
        kind: Kind::Measured,
        basis: places,
    })
}

/// The share of cold requests up to which the platform that is fastest warm has the lower mean, if another one is
/// fastest cold.
///
/// With the medians c and w of the two platforms, the means are equal at the share s of cold requests where
/// `s·c₁ + (1 − s)·w₁ = s·c₂ + (1 − s)·w₂`. The interval of s combines the ends of their intervals.
fn cold_against_warm(judged: &[&Measured]) -> Option<Sentence> {
    let first = |figure: &str| match ranks(judged, figure, false).into_iter().next()?.as_slice() {
        [(platform, _)] => Some(*platform),
        _ => None,
    };
    let (cold, warm) = (first("cold_first_response_p50")?, first("warm_p50")?);
    if judged.len() < 2 {
        return None;
    }
    let (cold_name, warm_name) = (words::title(cold), words::title(warm));
    let sentence = |answer: &str, text: String, kind: Kind, basis: Vec<Basis>| {
        Some(Sentence { question: "Cold against warm", answer: answer.into(), text: capital(&text), kind, basis })
    };
    if cold == warm {
        let text = format!("{cold_name} leads both ways, so no share of cold starts makes another faster.");
        return sentence(cold_name, text, Kind::Measured, vec![]);
    }
    let of = |platform: Platform, figure: &str| {
        estimate(&judged.iter().find(|measured| measured.platform == platform)?.figures, figure)
    };
    let lost_cold = difference(of(warm, "cold_first_response_p50")?, of(cold, "cold_first_response_p50")?);
    let lost_warm = difference(of(cold, "warm_p50")?, of(warm, "warm_p50")?);
    let share = |warm: f64, cold: f64| 100.0 * warm / (warm + cold);
    let share = Estimate {
        value: share(lost_warm.value, lost_cold.value),
        low: share(lost_warm.low, lost_cold.high),
        high: share(lost_warm.high, lost_cold.low),
    };
    let text = format!(
        "{warm_name} has the lower mean of the two while fewer than {} % ({}–{}) of requests are cold, {cold_name} above; by their medians.",
        short(share.value),
        short(share.low),
        short(share.high)
    );
    let shown = format!("{} %", short(share.value));
    sentence(warm_name, text, Kind::Modelled, vec![Basis { name: "cold share".into(), estimate: share, shown }])
}

/// The difference `a − b`. Its interval combines the ends of both intervals.
fn difference(a: Estimate, b: Estimate) -> Estimate {
    Estimate { value: a.value - b.value, low: a.low - b.high, high: a.high - b.low }
}

fn warnings(result: &Comparison) -> Vec<String> {
    let noise = result.noise.iter().flat_map(|noise| &noise.reasons);
    let mut warnings: Vec<String> = noise.map(|reason| format!("These figures are not sound: {reason}.")).collect();
    for measured in result.platforms.iter().filter(|measured| measured.errors > 0) {
        let (name, errors) = (capital(words::title(measured.platform)), grouped(measured.errors));
        warnings
            .push(format!("{name} is not judged: {errors} of its answers, or of its floor's, were missing or wrong."));
    }
    for deployed in result.deployments.iter().filter(|deployed| deployed.errors > 0) {
        warnings.push(format!(
            "{} is not judged: {} of its answers were missing or wrong.",
            deployed.name,
            grouped(deployed.errors)
        ));
    }
    for lost in &result.unreachable {
        warnings.push(format!(
            "{} was not measured, {} can't be: {}.",
            lost.name,
            lost.url,
            lost.reason.trim_end_matches('.')
        ));
    }
    for missing in &result.not_started {
        let name = capital(words::title(missing.platform));
        warnings
            .push(format!("{name} was not measured, it can't be started: {}.", missing.reason.trim_end_matches('.')));
    }
    warnings
}

fn caveats(result: &Comparison) -> Vec<String> {
    let mut caveats = Vec::new();
    let samples = result.workload.workload.cold.samples;
    if result.workload.is_quick {
        caveats.push(format!("A quick run, with {samples} cold starts of each: decide by a whole one."));
    } else if samples < ENOUGH_FOR_P99 {
        caveats.push(format!("{samples} cold starts of each: too few to judge their 99th percentile."));
    }
    if result.runs() == 1 {
        caveats.push("One run: what differs from run to run is in no interval; --repeat 5 shows it.".into());
    }
    let of = if result.deployments.is_empty() { "in no figure" } else { "in no figure of a platform" };
    caveats.push(format!(
        "Measured on one machine: the network, the placement of a microVM and the download of code are {of}."
    ));
    caveats.extend(result.deployments.iter().map(Deployed::missing));
    caveats
}

#[cfg(test)]
mod tests;
