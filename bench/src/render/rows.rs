//! The rows that every form of a comparison shows: the figures in their order, each with unit, n, interval and multiple
//! of the floor. The terminal's table, Markdown, CSV and the page are four ways to write them.

use crate::figures::added::added;
use crate::figures::ranks::{Class, classes};
use crate::model::cold;
use crate::results::cost::Kind;
use crate::results::deployed::Deployed;
use crate::results::figure::{certain, estimate};
use crate::results::scope::{Phase, inside, outside};
use crate::results::{Comparison, Distribution, Figures, Measured};
use crate::stats::Estimate;
use crate::words::Unit;
use crate::words::time;
use crate::workload::{Arrival, Mix};

/// Rows with the same conditions of measurement.
pub(crate) struct Section {
    /// Its anchor in the page.
    pub(crate) id: &'static str,
    /// What was measured.
    pub(crate) title: &'static str,
    /// The conditions of the measurement.
    pub(crate) conditions: String,
    pub(crate) rows: Vec<Row>,
    /// For each platform, what is in these figures and what is not, in words; empty where that is no question.
    pub(crate) scopes: Vec<[String; 2]>,
}

/// One figure of all platforms.
#[derive(Clone)]
pub(crate) struct Row {
    /// Its name within its section.
    pub(crate) label: String,
    /// Its name in files.
    pub(crate) figure: String,
    pub(crate) unit: Unit,
    /// One cell for each platform, in the order of the result. In [`deployments`] one for each deployment follows.
    pub(crate) cells: Vec<Cell>,
}

/// One figure of one platform, or of one target in the section of the baseline.
#[derive(Clone)]
pub(crate) struct Cell {
    /// The name in files: of a platform, of a deployment, or of a target in the section of the baseline.
    pub(crate) name: String,
    /// `None` if the figure was not measured.
    pub(crate) estimate: Option<Estimate>,
    /// Number of samples or turns behind the figure; 1 for a counted figure.
    pub(crate) n: usize,
    /// The multiple of the floor's figure. For the baseline, the multiple of Isotherm's.
    pub(crate) ratio: Option<Estimate>,
    /// The difference to the floor's figure.
    pub(crate) added: Option<Estimate>,
    /// Where the figure comes from.
    pub(crate) kind: Kind,
    /// Whether the cell is the best among equal scopes, or tied with it. Always false without another of its scope.
    pub(crate) is_best: bool,
}

const COLD_INIT: [(&str, &str, Unit); 3] =
    [("p50", "cold_init_p50", Unit::Ms), ("p90", "cold_init_p90", Unit::Ms), ("p99", "cold_init_p99", Unit::Ms)];
const COLD_FIRST: [(&str, &str, Unit); 3] = [
    ("p50", "cold_first_response_p50", Unit::Ms),
    ("p90", "cold_first_response_p90", Unit::Ms),
    ("p99", "cold_first_response_p99", Unit::Ms),
];
const WARM: [(&str, &str, Unit); 3] =
    [("p50", "warm_p50", Unit::Ms), ("p90", "warm_p90", Unit::Ms), ("p99", "warm_p99", Unit::Ms)];
const THROUGHPUT: [(&str, &str, Unit); 2] =
    [("requests/s", "requests_per_second", Unit::PerSecond), ("events/s", "events_per_second", Unit::PerSecond)];
const CPU: [(&str, &str, Unit); 1] = [("CPU ms/request", "cpu_ms_per_request", Unit::Ms)];
const SIZE: [(&str, &str, Unit); 2] = [("raw", "artifact_raw", Unit::Bytes), ("gzip -9", "artifact_gzip", Unit::Bytes)];
const MEMORY: [(&str, &str, Unit); 1] = [("peak RSS", "memory_peak_rss", Unit::Bytes)];
/// The figures shown of floors and of the baseline.
pub(crate) const BRIEF: [(&str, &str, Unit); 8] = [
    ("artifact gzip", "artifact_gzip", Unit::Bytes),
    ("ready p50", "cold_init_p50", Unit::Ms),
    ("response p50", "cold_first_response_p50", Unit::Ms),
    ("warm p50", "warm_p50", Unit::Ms),
    ("warm p99", "warm_p99", Unit::Ms),
    ("requests/s", "requests_per_second", Unit::PerSecond),
    ("CPU ms/request", "cpu_ms_per_request", Unit::Ms),
    ("peak RSS", "memory_peak_rss", Unit::Bytes),
];

/// The sections of the platforms' figures.
pub(crate) fn sections(result: &Comparison) -> Vec<Section> {
    let workload = &result.workload.workload;
    let (warm, throughput) = (&workload.warm, &workload.throughput);
    let arrival = match warm.arrival {
        Arrival::Poisson => "Poisson arrivals",
        Arrival::Constant => "even gaps",
    };
    let n = |samples: usize| match result.runs() {
        1 => format!("n = {samples}"),
        runs => format!("n = {samples} in each of {runs} runs"),
    };
    let rows = |figures: &[(&str, &str, Unit)]| figures.iter().map(|figure| row(result, *figure)).collect();
    let section = |id, title, conditions, rows, phase: Option<Phase>| {
        let of = |measured: &Measured| {
            let scope = phase.and_then(|phase| measured.scopes.get(&phase)).cloned().unwrap_or_default();
            [inside(&scope), outside(&scope)]
        };
        let scopes = if phase.is_some() { result.platforms.iter().map(of).collect() } else { Vec::new() };
        Section { id, title, conditions, rows, scopes }
    };
    let cold = n(workload.cold.samples);
    vec![
        section("cold-ready", "cold start until ready", cold.clone(), rows(&COLD_INIT), Some(Phase::ColdInit)),
        section(
            "cold-answered",
            "cold start until the first response, POST /events included",
            cold.clone(),
            rows(&COLD_FIRST),
            Some(Phase::ColdFirstResponse),
        ),
        section("cold-parts", "cold start in parts, p50", cold, cold_parts(result), None),
        section(
            "warm",
            "warm latency",
            format!(
                "open loop, {} requests/s, {arrival}, {} s · {}",
                warm.rate,
                warm.seconds,
                mixed(&warm.mix, &warm.batch_sizes)
            ),
            rows(&WARM),
            Some(Phase::Warm),
        ),
        section(
            "throughput",
            "throughput",
            format!(
                "closed loop, {} connections, at least {} s · {}",
                throughput.connections,
                throughput.seconds,
                mixed(&throughput.mix, &throughput.batch_sizes)
            ),
            rows(&THROUGHPUT),
            Some(Phase::Throughput),
        ),
        section(
            "cpu",
            "CPU time",
            "of the function alone on Lambda, of the whole process elsewhere".to_owned(),
            rows(&CPU),
            Some(Phase::Cpu),
        ),
        section(
            "reports",
            "reports over all events, p50",
            format!(
                "{}; fresh: from 202 until one counts it, {}",
                n(workload.reports.samples),
                n(workload.reports.fresh)
            ),
            reports(result),
            Some(Phase::Warm),
        ),
        section("size", "artifact", "all files that are deployed".to_owned(), rows(&SIZE), Some(Phase::Artifact)),
        section("memory", "memory", "over the whole run".to_owned(), rows(&MEMORY), Some(Phase::Memory)),
    ]
}

/// The parts of a cold start, what is published of it, and what is expected of both together.
fn cold_parts(result: &Comparison) -> Vec<Row> {
    let starts = cold::starts(result);
    let row = |label: &str, figure: &str, kind: Kind, of: &dyn Fn(&cold::Start) -> Option<Estimate>| Row {
        label: label.to_owned(),
        figure: figure.to_owned(),
        unit: Unit::Ms,
        cells: result
            .platforms
            .iter()
            .map(|measured| {
                let start = starts.iter().find(|start| start.platform == measured.platform);
                let n = if kind == Kind::Measured { measured.figures.cold.init.n } else { 1 };
                let name = measured.platform.name().to_owned();
                Cell { kind, ..Cell::plain(name, start.and_then(of), n) }
            })
            .collect(),
    };
    vec![
        row("ready", "cold_part_init_p50", Kind::Measured, &|start| Some(start.init)),
        row("first request", "cold_part_first_request_p50", Kind::Measured, &|start| {
            Some(certain(start.first_request))
        }),
        row("Isotherm adds", "cold_init_added_p50", Kind::Measured, &|start| Some(start.adds)),
        row("published", "cold_init_published", Kind::Published, &|start| {
            start.published.as_ref().map(|published| certain(published.ms))
        }),
        row("expected", "cold_init_expected", Kind::Modelled, &|start| start.expected),
    ]
}

/// The section of the floors' own figures.
pub(crate) fn floors(result: &Comparison) -> Section {
    let floor = |(label, figure, unit): (&str, &str, Unit)| {
        let cell = |measured: &Measured| cell(measured.platform.name(), &measured.floor, figure);
        Row {
            label: label.to_owned(),
            figure: format!("floor_{figure}"),
            unit,
            cells: result.platforms.iter().map(cell).collect(),
        }
    };
    Section {
        id: "floors",
        title: "floors",
        conditions: "the smallest hello function on the same runtime, in the same run".to_owned(),
        rows: BRIEF.map(floor).into(),
        scopes: Vec::new(),
    }
}

/// The figures that deployments and platforms share, side by side. Only those of deployments include the network.
/// `None` without deployments.
pub(crate) fn deployments(result: &Comparison) -> Option<Section> {
    let first = result.deployments.first()?;
    let cold = first.idle_seconds.map_or_else(
        || "cold: not without --idle".to_owned(),
        |idle| format!("cold: after {} without a request", time(idle)),
    );
    let of_both = |(label, figure, unit): (&str, &str, Unit)| {
        let mut row = row(result, (label, figure, unit));
        for cell in &mut row.cells {
            (cell.ratio, cell.added, cell.is_best) = (None, None, false);
        }
        row.cells.extend(result.deployments.iter().map(|deployed| of(deployed, deployed.figure(figure))));
        row
    };
    let all = |row: Row, of_deployed: &dyn Fn(&Deployed) -> Option<(Estimate, usize)>| {
        let cells = result.deployments.iter().map(|deployed| of(deployed, of_deployed(deployed)));
        Row { cells: row.cells.into_iter().chain(cells).collect(), ..row }
    };
    let network = |label: &str, figure: &str, of: fn(&Deployed) -> Option<&Distribution>| {
        let none = row(result, (label, figure, Unit::Ms));
        all(none, &|deployed| of(deployed).map(|distribution| (distribution.p50, distribution.n)))
    };
    let mut rows = vec![
        network("connect", "connect_p50", |deployed| Some(&deployed.network.connect)),
        network("TLS", "tls_p50", |deployed| deployed.network.tls.as_ref()),
    ];
    let quantiles = [COLD_FIRST[0], WARM[0], WARM[1], WARM[2], THROUGHPUT[0], THROUGHPUT[1]];
    let labels = ["cold p50", "warm p50", "warm p90", "warm p99", "requests/s", "events/s"];
    rows.extend(quantiles.into_iter().zip(labels).map(|((_, figure, unit), label)| of_both((label, figure, unit))));
    rows.extend(reports(result).into_iter().map(|row| {
        let name = row.label.clone();
        all(row, &|Deployed { reports, .. }| {
            let distribution = if name == "fresh" { Some(&reports.freshness) } else { reports.latency.get(&name) };
            distribution.map(|distribution| (distribution.p50, distribution.n))
        })
    }));
    Some(Section {
        id: "deployments",
        title: "deployments, over the network",
        conditions: format!("connect: one round trip, in all figures · {cold}"),
        rows,
        scopes: Vec::new(),
    })
}

fn of(deployed: &Deployed, figure: Option<(Estimate, usize)>) -> Cell {
    let (estimate, n) = figure.unzip();
    Cell::plain(deployed.name.clone(), estimate, n.unwrap_or(0))
}

/// Latency of each route in the warm phase. The table on a terminal leaves these details out.
pub(crate) fn routes(result: &Comparison) -> Vec<Row> {
    let names = result.platforms.iter().flat_map(|measured| measured.figures.warm.routes.keys());
    let mut routes: Vec<_> = names.copied().collect();
    routes.sort();
    routes.dedup();
    let quantiles = |route| {
        quantiles(result, format!("{route}"), format!("warm:{route}"), move |measured| {
            measured.figures.warm.routes.get(&route)
        })
    };
    routes.into_iter().flat_map(quantiles).collect()
}

/// All quantiles of the reports' latencies.
pub(crate) fn report_quantiles(result: &Comparison) -> Vec<Row> {
    let names = result.workload.workload.reports.queries.keys();
    let quantiles_of = |name: &String| {
        let of = |measured| {
            let Measured { reports, .. }: &Measured = measured;
            reports.latency.get(name)
        };
        quantiles(result, name.clone(), format!("report:{name}"), of)
    };
    let fresh = quantiles(result, "fresh".into(), "freshness".into(), |measured| Some(&measured.reports.freshness));
    names.flat_map(quantiles_of).chain(fresh).collect()
}

/// The medians of [`report_quantiles`].
fn reports(result: &Comparison) -> Vec<Row> {
    let medians = report_quantiles(result).into_iter().step_by(3);
    medians.map(|row| Row { label: row.label.trim_end_matches(" p50").to_owned(), ..row }).collect()
}

type Pick = fn(&Distribution) -> Estimate;

fn quantiles<'r>(
    result: &'r Comparison,
    label: String,
    figure: String,
    of: impl Fn(&'r Measured) -> Option<&'r Distribution>,
) -> Vec<Row> {
    let quantile = |(name, pick): (&str, Pick)| Row {
        label: format!("{label} {name}"),
        figure: format!("{figure}_{name}"),
        unit: Unit::Ms,
        cells: result
            .platforms
            .iter()
            .map(|measured| {
                let n = of(measured).map_or(0, |distribution| distribution.n);
                Cell::plain(measured.platform.name().to_owned(), of(measured).map(pick), n)
            })
            .collect(),
    };
    let picks: [(&str, Pick); 3] = [("p50", |of| of.p50), ("p90", |of| of.p90), ("p99", |of| of.p99)];
    picks.map(quantile).into()
}

fn row(result: &Comparison, (label, figure, unit): (&str, &str, Unit)) -> Row {
    let classes = classes(&result.platforms.iter().collect::<Vec<_>>(), figure);
    let cells = result.platforms.iter().map(|measured| Cell {
        ratio: measured.ratio.get(figure).copied(),
        added: added(measured, figure).map(|added| added.difference),
        is_best: classes.iter().any(|class: &Class| class.is_best(measured.platform)),
        ..cell(measured.platform.name(), &measured.figures, figure)
    });
    Row { label: label.to_owned(), figure: figure.to_owned(), unit, cells: cells.collect() }
}

pub(crate) fn cell(name: &str, figures: &Figures, figure: &str) -> Cell {
    let n = match figure.split('_').next() {
        Some("cold") => figures.cold.init.n,
        Some("warm") => figures.warm.latency.n,
        Some("requests" | "events" | "cpu") => figures.throughput.slices.len(),
        _ => 1,
    };
    Cell::plain(name.to_owned(), estimate(figures, figure), n)
}

impl Cell {
    /// A measured figure that stands for itself.
    pub(crate) fn plain(name: String, estimate: Option<Estimate>, n: usize) -> Self {
        Self { name, estimate, n, ratio: None, added: None, kind: Kind::Measured, is_best: false }
    }
}

/// The mix in words, such as `70 % single, 10 % batches of 10–100, 20 % look-ups`.
fn mixed(mix: &Mix, batch_sizes: &[usize]) -> String {
    let all = f64::from(mix.single) + f64::from(mix.batch) + f64::from(mix.get);
    let batches = match (batch_sizes.iter().min(), batch_sizes.iter().max()) {
        (Some(low), Some(high)) if low < high => format!("batches of {low}–{high}"),
        (Some(size), _) => format!("batches of {size}"),
        _ => "batches".to_owned(),
    };
    [(mix.single, "single"), (mix.batch, &batches), (mix.get, "look-ups")]
        .iter()
        .filter(|(weight, _)| *weight > 0)
        .map(|(weight, route)| format!("{:.0} % {route}", 100.0 * f64::from(*weight) / all))
        .collect::<Vec<_>>()
        .join(", ")
}
