//! The baseline, beside Isotherm with the same events. It stands for what a user would have otherwise, and
//! every form of a comparison shows it.

use crate::render::rows::{BRIEF, Cell, Row, Section, cell};
use crate::results::cost::Kind;
use crate::results::figure::certain;
use crate::results::{Baseline, Comparison};
use crate::words::Unit;

/// The name of the cost figure in files.
pub(crate) const COST: &str = "cost_per_million_events";

/// Notes on the figures of [`section`].
pub(crate) const NOTES: [&str; 4] = [
    "The baseline stands for what a user would have otherwise: Node.js with AWS's SDK, bundled by esbuild, on the machine's Node.js. \
     Both get the workload's events in the phases above, but one a request: it takes neither batches nor look-ups nor reports.",
    "It puts each event to DynamoDB and to S3. It knows no repetition: its ids are random, so an event that is sent twice is \
     there twice. It checks three fields, and nobody's access.",
    "Isotherm puts each event to DynamoDB unless it is there, and folds it into reports and backs it up behind the answer: its CPU time, memory \
     and costs have that in them. The aggregation of that design is in none of these figures.",
    "The artifact is the one function, without Node.js. Memory is that of all environments at once. Costs are by the meters of the run, at its rate, \
     the start of environments included, with an HTTP API before both; the baseline's design beside the platforms' costs is modelled, whole, and \
     with a REST API.",
];

/// The section of the baseline; `None` if Lambda was not measured.
pub(crate) fn section(result: &Comparison) -> Option<Section> {
    let Baseline { function, isotherm, ratio } = result.baseline.as_ref()?;
    let mut rows: Vec<Row> = Vec::new();
    for (label, figure, unit) in BRIEF {
        let [mut one, other] = [(Baseline::NAMES[0], function), (Baseline::NAMES[1], isotherm)]
            .map(|(name, of)| cell(name, &of.figures, figure));
        one.ratio = ratio.get(figure).copied();
        rows.push(row(label, figure, unit, [one, other]));
    }
    if let [Some(one), Some(other)] = [&function.cost, &isotherm.cost] {
        let ratio = certain(one.total.value / other.total.value);
        let cells =
            [(Baseline::NAMES[0], one, Some(ratio)), (Baseline::NAMES[1], other, None)].map(|(name, line, ratio)| {
                let cell = Cell::plain(name.to_owned(), Some(line.total), 1);
                Cell { ratio, kind: Kind::Modelled, ..cell }
            });
        rows.push(row("USD/M events", COST, Unit::Usd, cells));
    }
    Some(Section {
        id: "baseline",
        title: "what a user would have otherwise: the baseline on Lambda",
        conditions: "the same events, one a request; ×: multiple of Isotherm's".to_owned(),
        rows,
        scopes: Vec::new(),
    })
}

/// A row in which the better of the two cells is marked, or both if they tie.
fn row(label: &str, figure: &str, unit: Unit, cells: [Cell; 2]) -> Row {
    let values = cells.each_ref().map(|cell| cell.estimate);
    let is_best = |place: usize| match (values[place], values[1 - place]) {
        (Some(own), Some(other)) => (own.value > other.value) == (unit == Unit::PerSecond) || own.ties(&other),
        _ => false,
    };
    let best = [is_best(0), is_best(1)];
    let cells = cells.into_iter().zip(best).map(|(cell, is_best)| Cell { is_best, ..cell });
    Row { label: label.to_owned(), figure: figure.to_owned(), unit, cells: cells.collect() }
}
