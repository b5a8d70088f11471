//! The verdict: what the figures say, in sentences with the figures behind each.
//!
//! What leads is what Isotherm adds to each platform's floor, which has the same scope by construction. Platforms are
//! ranked only where their figures have equal scopes (`figures::ranks`) and `stats::differ` can tell them apart.
//! Platforms with missing or wrong answers are not judged.

mod words;

use crate::figures::added::added;
use crate::figures::ranks::{Class, classes};
use crate::model::cold::{self, Start};
use crate::results::cost::{Cost, Crossing, Kind};
use crate::results::deployed::Deployed;
use crate::results::figure::more_is_better;
use crate::results::scope::inside;
use crate::results::{Comparison, Measured};
use crate::stats::Estimate;
use crate::words::{Quantity, Unit, capital, grouped, listed, multiple, named, title};

use self::words::{adds, all_named, follow};
pub(crate) use self::words::{crossing_in_words, volume};

/// With fewer samples, the 99th percentile is hardly more than the largest sample.
const ENOUGH_FOR_P99: usize = 100;

/// The conclusions from a result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// What Isotherm adds, and who is ahead where that can be said; one sentence a question.
    pub(crate) answers: Vec<Sentence>,
    /// The conditions under which an answer changes.
    pub(crate) flips: Vec<Sentence>,
    /// The problems that keep a platform out of the verdict.
    pub(crate) warnings: Vec<String>,
    /// What this run can't tell.
    pub(crate) caveats: Vec<String>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sentence {
    /// The question, such as `Warm latency`.
    pub(crate) question: &'static str,
    /// The answer in some words.
    pub(crate) answer: String,
    /// The answer in full.
    pub(crate) text: String,
    /// The source of its figures.
    pub(crate) kind: Kind,
    /// The figures behind it, in the order of the platforms or best first.
    pub(crate) basis: Vec<Basis>,
}

/// A figure behind a sentence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Basis {
    /// The name of the platform or design.
    pub(crate) name: String,
    pub(crate) estimate: Estimate,
    /// The part of the figure that the floor has too.
    pub(crate) floor: Option<f64>,
    /// The figure in words.
    pub(crate) shown: String,
}

/// A question, and the figure that answers it.
struct Question {
    question: &'static str,
    figure: &'static str,
    unit: Unit,
    /// What was measured, and how.
    what: String,
}

impl Verdict {
    /// The verdict on a result.
    pub(crate) fn of(result: &Comparison) -> Self {
        let judged: Vec<&Measured> = result.platforms.iter().filter(|measured| measured.errors == 0).collect();
        let mut verdict = Self { warnings: warnings(result), caveats: caveats(result), ..Self::default() };
        if judged.is_empty() {
            return verdict;
        }
        verdict.answers.extend(questions(result).iter().filter_map(|question| answer(question, &judged)));
        verdict.answers.extend(deployed_cold(&cold::starts(result)));
        if let Some(cost) = &result.cost {
            verdict.answers.extend(cheapest(cost));
            verdict.flips.extend(cost.crossings.iter().map(|at| crossing(cost, at)));
        }
        verdict.answers.extend(result.deployments.iter().filter_map(|deployed| over_the_network(deployed, result)));
        verdict.flips.extend(tail(&judged));
        verdict
    }

    /// The verdict line by line, for plain text.
    pub(crate) fn lines(&self) -> Vec<String> {
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

fn questions(result: &Comparison) -> [Question; 5] {
    let workload = &result.workload.workload;
    let question = |question, figure, unit, what: String| Question { question, figure, unit, what };
    let median = format!("median of {}", grouped((workload.cold.samples * result.runs()) as u64));
    [
        question("Cold start, until ready", "cold_init_p50", Unit::Ms, median.clone()),
        question("Cold start, first answer", "cold_first_response_p50", Unit::Ms, median),
        question("Warm latency", "warm_p50", Unit::Ms, format!("median at {} requests/s", workload.warm.rate)),
        question(
            "Throughput",
            "requests_per_second",
            Unit::PerSecond,
            format!("over {} connections", workload.throughput.connections),
        ),
        question("CPU time", "cpu_ms_per_request", Unit::Ms, "for a request".into()),
    ]
}

/// What Isotherm adds to each floor in one figure, and who is ahead where scopes are equal.
fn answer(Question { question, figure, unit, what }: &Question, judged: &[&Measured]) -> Option<Sentence> {
    let all: Vec<_> =
        judged.iter().filter_map(|measured| Some((measured.platform, added(measured, figure)?))).collect();
    let basis = all.iter().map(|(platform, added)| {
        let multiple = added.multiple.map_or_else(String::new, |ratio| format!(" · {}×", multiple(ratio.value)));
        let sign = if added.difference.value < 0.0 { "−" } else { "+" };
        let size = Estimate { value: added.difference.value.abs(), low: 0.0, high: 0.0 };
        Basis {
            name: title(*platform).to_owned(),
            estimate: added.own,
            floor: (*unit == Unit::Ms).then_some(added.floor.value),
            shown: format!("{sign}{}{multiple}", Quantity::of(&size, *unit).plain()),
        }
    });
    let classes = classes(judged, figure);
    let ranked: Vec<&Class> = classes.iter().filter(|class| class.is_ranked()).collect();
    let more = more_is_better(figure);
    let mut text = format!("{} ({what}).", adds(&all, *unit));
    for class in &ranked {
        text.push_str(&format!(" Equal in scope ({}): {}.", inside(&class.scope), follow(class, *unit, more)));
    }
    let is_unlike = classes.len() > 1;
    if is_unlike {
        let unlike = classes.iter().filter(|class| !class.is_ranked() || ranked.len() > 1);
        let told: Vec<String> = unlike
            .map(|class| {
                let names: Vec<&str> = class.places.iter().flatten().map(|(platform, _)| title(*platform)).collect();
                format!("{} in {}", inside(&class.scope), listed(&names))
            })
            .collect();
        let none = if ranked.is_empty() { "No winner" } else { "No winner over all" };
        text.push_str(&format!(" {none}, since scopes differ: {}.", told.join("; ")));
    }
    Some(Sentence {
        question,
        answer: match ranked.first() {
            Some(class) if class.places.len() > 1 => {
                let best = class.places.first()?;
                let names: Vec<&str> = best.iter().map(|(platform, _)| title(*platform)).collect();
                let rest: Vec<&str> =
                    class.places.iter().skip(1).flatten().map(|(platform, _)| title(*platform)).collect();
                format!("{} before {}", listed(&names), listed(&rest))
            }
            Some(class) => {
                let names: Vec<&str> = class.places.iter().flatten().map(|(platform, _)| title(*platform)).collect();
                format!("Tie: {}", listed(&names))
            }
            None if is_unlike => "No winner: scopes differ".to_owned(),
            None => title(judged.first()?.platform).to_owned(),
        },
        text: capital(&text),
        kind: Kind::Measured,
        basis: basis.collect(),
    })
}

/// What cold starts are expected to take where a platform or others have published figures.
fn deployed_cold(starts: &[Start]) -> Option<Sentence> {
    let with: Vec<&Start> = starts.iter().filter(|start| start.expected.is_some()).collect();
    let mut told: Vec<String> = with.iter().map(|start| words::expected(start)).collect();
    let without: Vec<&str> =
        starts.iter().filter(|start| start.expected.is_none()).map(|start| title(start.platform)).collect();
    if told.is_empty() {
        return None;
    }
    if !without.is_empty() {
        told.push(format!("For {} nothing is published, so nothing is expected.", listed(&without)));
    }
    Some(Sentence {
        question: "Cold start, deployed",
        answer: listed(
            &with
                .iter()
                .filter_map(|start| {
                    let value = Quantity::of(&start.expected?, Unit::Ms).plain();
                    Some(format!("{} {value}", title(start.platform)))
                })
                .collect::<Vec<_>>(),
        ),
        text: told.join(" "),
        kind: Kind::Modelled,
        basis: with.iter().filter_map(|start| Some(basis(title(start.platform), start.expected?, Unit::Ms))).collect(),
    })
}

/// A deployment's warm latency, and the part of the network in it. It is not ranked.
fn over_the_network(deployed: &Deployed, result: &Comparison) -> Option<Sentence> {
    if deployed.errors > 0 {
        return None;
    }
    let Deployed { name, url, warm, network, .. } = deployed;
    let (warm, connect) =
        (basis(name, warm.latency.p50, Unit::Ms), basis("one round trip", network.connect.p50, Unit::Ms));
    let text = format!(
        "{name} at {url} takes {} to answer at {} requests/s (median), the network included: to connect, one round trip, takes {}. \
         It is not ranked with the platforms here, which have no network in their figures.",
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

fn basis(name: &str, estimate: Estimate, unit: Unit) -> Basis {
    let shown = Quantity::of(&estimate, unit).with_interval();
    Basis { name: name.to_owned(), estimate, floor: None, shown }
}

/// The cheapest design for a million events, at the volume of the cost lines.
fn cheapest(cost: &Cost) -> Option<Sentence> {
    let mut lines: Vec<_> = cost.lines.iter().collect();
    lines.sort_by(|a, b| a.total.value.total_cmp(&b.total.value));
    let places = |of: &[&crate::results::cost::CostLine]| -> usize {
        of.first().map_or(0, |best| of.iter().take_while(|line| line.total.ties(&best.total)).count())
    };
    let (first, rest) = lines.split_at(places(&lines));
    let next = &rest[..places(rest)];
    let told = |of: &[&crate::results::cost::CostLine]| {
        let one = |line: &&crate::results::cost::CostLine| {
            format!("{} with {}", named(&line.name), Quantity::of(&line.total, Unit::Usd).with_interval())
        };
        listed(&of.iter().map(one).collect::<Vec<_>>())
    };
    let names: Vec<String> = first.iter().map(|line| named(&line.name)).collect();
    let tie = if first.len() > 1 { " can't be told apart" } else { " is cheapest" };
    let follows = match next.len() {
        0 => String::new(),
        1 => format!("; {} follows", told(next)),
        _ => format!("; {} follow and can't be told apart", told(next)),
    };
    Some(Sentence {
        question: "Cost",
        answer: if first.len() > 1 { format!("Tie: {}", listed(&names)) } else { names.concat() },
        text: capital(&format!(
            "{}{tie} for a million events at {} events a month{follows}.",
            told(first),
            volume(cost.monthly_events)
        )),
        kind: cost.kind,
        basis: lines.iter().map(|line| basis(&named(&line.name), line.total, Unit::Usd)).collect(),
    })
    .filter(|sentence| !sentence.basis.is_empty())
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

/// A sentence for the case that, among equal scopes, the best by the median are not the best by the 99th percentile.
fn tail(judged: &[&Measured]) -> Option<Sentence> {
    let judged: Vec<&Measured> =
        judged.iter().copied().filter(|measured| measured.figures.warm.latency.n >= ENOUGH_FOR_P99).collect();
    let first = |figure: &str| classes(&judged, figure).into_iter().find(Class::is_ranked);
    let (median, slow) = (first("warm_p50")?, first("warm_p99")?);
    let names = |class: &Class| -> Option<Vec<&'static str>> {
        Some(class.places.first()?.iter().map(|(platform, _)| title(*platform)).collect())
    };
    let (leaders, best) = (names(&median)?, names(&slow)?);
    if leaders == best {
        return None;
    }
    Some(Sentence {
        question: "Warm latency",
        answer: listed(&best),
        text: format!("at the 99th percentile {}.", follow(&slow, Unit::Ms, false)),
        kind: Kind::Measured,
        basis: vec![],
    })
}

fn warnings(result: &Comparison) -> Vec<String> {
    let noise = result.noise.iter().flat_map(|noise| &noise.reasons);
    let mut warnings: Vec<String> = noise.map(|reason| format!("These figures are not sound: {reason}.")).collect();
    for measured in result.platforms.iter().filter(|measured| measured.errors > 0) {
        let (name, errors) = (capital(title(measured.platform)), grouped(measured.errors));
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
        let name = capital(title(missing.platform));
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
    caveats.extend(words::detectable(result));
    let of = if result.deployments.is_empty() { "in no figure" } else { "in no figure of a platform" };
    caveats.push(format!(
        "Measured on one machine: the network, the placement of a microVM and the download of code are {of}. Lambda's \
         store is an emulator, faster than any that AWS has."
    ));
    caveats.extend(result.deployments.iter().map(words::missing));
    caveats
}

#[cfg(test)]
mod tests;
