//! What changed between two results, as text.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use crate::figures::changes::{Change, Verdict};
use crate::figures::differences::{Differences, Run};
use crate::render::text::WIDTH;
use crate::stats::{FALSE_DISCOVERIES, POWER};

/// What changed, as text. With `all`, ties are told too.
pub(crate) fn text(differences: &Differences, all: bool) -> String {
    let Differences { before, after, notes, changes, failed, .. } = differences;
    let mut text = String::new();
    for (name, Run { file, time, runs, .. }) in [("before", before), ("after", after)] {
        text += &format!(
            "{name:<7} {time} · {} · {file}\n",
            if *runs == 1 { "1 run".into() } else { format!("{runs} runs") }
        );
    }
    for note in notes {
        text += &format!("differs: {note}\n");
    }
    let told: Vec<&Change> = changes.iter().filter(|change| all || change.verdict != Verdict::Tie).collect();
    if !told.is_empty() {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
        table.set_header(["", "", "before", "after", "×", "95 %", "noise", "seen from", ""]);
        table.add_rows(told.iter().map(|change| line(change)));
        text += "\n";
        text += &table.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
    }
    let ties = changes.iter().filter(|change| change.verdict == Verdict::Tie).count();
    text += &format!("\n{} of {} figures changed, {ties} can't be told apart\n", changes.len() - ties, changes.len());
    text += &format!(
        "at most {:.0} % of the figures called changed are expected not to be; `seen from`: the smallest change seen with a chance of {:.0} %\n",
        100.0 * FALSE_DISCOVERIES,
        100.0 * POWER
    );
    if before.runs == 1 || after.runs == 1 {
        text += "a single run does not show what differs from run to run: `isotherm compare --repeat 5` does\n";
    }
    for figure in failed {
        text += &format!("failed: {figure} became worse by more than --fail-if allows\n");
    }
    text
}

fn line(change: &Change) -> [String; 9] {
    let Change { platform, figure, before, after, ratio, noise, verdict, detectable, .. } = change;
    let verdict = match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::Tie => "tie",
    };
    [
        platform.name().to_owned(),
        figure.clone(),
        number(*before),
        number(*after),
        format!("{:.2}", ratio.value),
        format!("{:.2}–{:.2}", ratio.low, ratio.high),
        format!("{:.0} %", 100.0 * noise),
        detectable.map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share)),
        verdict.to_owned(),
    ]
}

fn number(value: f64) -> String {
    if value >= 1e4 { format!("{value:.0}") } else { format!("{value:.3}") }
}
