//! The section on how figures came about, and on what machine.

use maud::{Markup, html};

use crate::render::html::parts::{chip, scrolled};
use crate::render::html::tables::{figures, row_head};
use crate::render::{rows, text};
use crate::results::cost::Kind;
use crate::results::noise::Noise;
use crate::results::{Comparison, Replay};
use crate::words::{self, digits, grouped};

pub(super) fn method(result: &Comparison) -> Markup {
    let machine = &result.machine;
    let versions = machine
        .versions
        .iter()
        .map(|(name, version)| if version.starts_with(name) { version.clone() } else { format!("{name} {version}") });
    let runtimes = result.platforms.iter().map(|measured| {
        let runtime = &measured.figures.runtime;
        (words::title(measured.platform), format!("{} {}", runtime.name, runtime.version))
    });
    let [what, r#where, when] = text::head(result);
    let facts =
        [("Run", what), ("Machine", r#where), ("When", when), ("Versions", versions.collect::<Vec<_>>().join(" · "))];
    let noise = result.noise.as_ref().map(|noise| ("Besides", noise_facts(noise).join(" · ")));
    let intervals = match result.runs() {
        1 => "Intervals are 95 % percentile-bootstrap intervals of 2,000 seeded resamples of one run.".to_owned(),
        runs => format!(
            "Everything was measured {runs} times, with hosts started anew: values are those of all runs together, intervals 95 % \
             intervals of Student’s t over the runs."
        ),
    };
    html! {
        p {
            "Every platform runs on its real runtime and takes turns with the others, in a new order each round, so that a machine \
             that drifts touches all alike. " (intervals) " Only figures with equal scopes are ranked: each table says what is in \
             them and what is not. Two figures that can’t be told apart, or differ by less than 5 %, are called a tie: of a \
             thousand comparisons of a platform with itself, one is expected to call any figure different. × is the multiple of \
             the platform’s floor, the smallest hello function on the same runtime in the same run, and + the difference to it. \
             Warm latency is taken in open loop and counts from when a request was due, so a stall is charged to every request \
             that it delays. CPU time is what the runtime’s processes used, by the operating system’s count."
        }
        p.kinds {
            (chip(Kind::Measured)) " in this run · " (chip(Kind::Published)) " by others, with the source · "
            (chip(Kind::Modelled)) " from the other two."
        }
        (answers(result)) (figures(&rows::floors(result)))
        dl {
            @for (name, fact) in facts.into_iter().chain(noise).chain(runtimes) { dt { (name) } dd { (fact) } }
        }
    }
}

/// The facts about other work in words, unknown ones included.
fn noise_facts(noise: &Noise) -> Vec<String> {
    let share = |share: Option<f64>| share.map_or("unknown".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    let clock = noise.clock_mhz.map(|[low, high]| match high - low < 1.0 {
        true => format!("{high:.0} MHz"),
        false => format!("{low:.0}–{high:.0} MHz"),
    });
    vec![
        format!("processors busy before: {}", share(noise.busy_before)),
        noise.busy_meanwhile.map_or_else(
            || "by other programs meanwhile: unknown".to_owned(),
            |[mean, worst]| {
                let [mean, worst] = [mean, worst].map(|of| 100.0 * of);
                format!("by other programs meanwhile: {mean:.1} %, {worst:.1} % in the worst seconds")
            },
        ),
        format!("taken by the hypervisor meanwhile: {}", share(noise.stolen)),
        noise.disk.as_ref().map_or_else(
            || "disk: unknown".to_owned(),
            |disk| {
                let [p50, p99] = [disk.flush_ms_p50, disk.flush_ms_p99].map(digits);
                format!("disk: {}, a flush takes {p50} ms (p99 {p99})", disk.file_system)
            },
        ),
        format!("clocks: {}", clock.as_deref().unwrap_or("unknown")),
        format!("governor: {}", noise.governor.as_deref().unwrap_or("unknown")),
    ]
}

/// The table that shows that nothing was lost.
fn answers(result: &Comparison) -> Markup {
    let row = |name: &str, replay: &Replay, errors: u64| {
        html! {
            tr {
                (row_head(name)) td { (grouped(replay.requests)) } td { (grouped(replay.sent)) } td { (grouped(errors)) }
                td { (grouped(replay.verified)) " of " (grouped(result.workload.events as u64)) }
            }
        }
    };
    scrolled(&html! {
        table {
            caption { b { "Answers checked" } " " (chip(Kind::Measured)) }
            thead {
                tr {
                    @for head in ["Platform", "Requests", "Events sent", "Missing or wrong answers", "Events there at the end"] {
                        th scope="col" { (head) }
                    }
                }
            }
            tbody {
                @for of in &result.platforms { (row(words::title(of.platform), &of.replay, of.errors)) }
                @for of in &result.deployments { (row(&of.name, &of.replay, of.errors)) }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_the_machine_is_told_as_well() {
        assert_eq!(noise_facts(&Noise::default())[4], "clocks: unknown");
        let clocks = Noise { clock_mhz: Some([1200.0, 2900.4]), ..Noise::default() };
        assert_eq!(noise_facts(&clocks)[4], "clocks: 1200–2900 MHz");
    }
}
