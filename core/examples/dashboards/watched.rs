//! The texts that are made of the list of metrics.

use isotherm_core::{Kind, METRICS, Metric};
use serde_json::{Value, json};

/// An alert of Prometheus. `docs/watching.md` has a line for each: what it means and what to do.
pub(crate) struct Alert {
    pub(crate) name: &'static str,
    /// Names of metrics in it stand in the list.
    pub(crate) expr: &'static str,
    /// For how long it has to hold.
    pub(crate) hold: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) summary: &'static str,
}

const fn alert(
    name: &'static str,
    expr: &'static str,
    hold: &'static str,
    severity: &'static str,
    summary: &'static str,
) -> Alert {
    Alert { name, expr, hold, severity, summary }
}

/// The alerts, the gravest first.
pub(crate) const ALERTS: [Alert; 9] = [
    alert("IsothermDown", r#"up{job="isotherm"} == 0"#, "1m", "page", "It does not answer /metrics."),
    alert(
        "IsothermFull",
        "isotherm_full_stores > 0",
        "1m",
        "page",
        "New events are refused, because too many wait to be folded.",
    ),
    alert(
        "IsothermServerErrors",
        r#"sum by (job, instance) (rate(isotherm_requests_total{class="5xx"}[5m])) > 0.01 * sum by (job, instance) (rate(isotherm_requests_total[5m])) > 0.05"#,
        "2m",
        "page",
        "More than 1 % of answers, and more than 3 a minute, are 5xx.",
    ),
    alert(
        "IsothermLate",
        "isotherm_fold_lag_seconds > 900",
        "3m",
        "page",
        "Events wait for a fold for longer than a quarter of an hour.",
    ),
    alert(
        "IsothermTasksFail",
        "sum by (job, instance, task) (increase(isotherm_failed_tasks_total[15m])) > 3",
        "0m",
        "page",
        "Maintenance fails again and again.",
    ),
    alert(
        "IsothermDeadLetters",
        "delta(isotherm_dead_letters_total[1h]) > 0",
        "0m",
        "ticket",
        "Stored records are no events, and are in no report.",
    ),
    alert(
        "IsothermUnreadable",
        "increase(isotherm_unreadable_pages_total[1h]) > 0",
        "0m",
        "ticket",
        "Stored rollups cannot be read, and reports of them are incomplete.",
    ),
    alert(
        "IsothermSlow",
        r#"histogram_quantile(0.99, sum by (job, instance, route, le) (rate(isotherm_request_seconds_bucket{route=~"/events.*"}[5m]))) > 1"#,
        "3m",
        "ticket",
        "One request in a hundred takes longer than a second.",
    ),
    alert(
        "IsothermSlowReports",
        r#"histogram_quantile(0.99, sum by (job, instance, route, le) (rate(isotherm_request_seconds_bucket{route=~"/reports/.*"}[5m]))) > 2.5"#,
        "3m",
        "ticket",
        "One report in a hundred takes longer than 2.5 seconds.",
    ),
];

/// All files, with their paths in the project.
pub(crate) fn files() -> [(&'static str, String); 3] {
    [
        ("deploy/watching/alerts.yaml", alerts()),
        ("deploy/watching/grafana.json", grafana()),
        ("deploy/lambda/dashboard.yaml", cloudwatch()),
    ]
}

const MADE: &str = "Made by `cargo xtask dashboards` from the list of metrics, core/src/watching/metric.rs.";

fn alerts() -> String {
    let mut text = format!(
        "# Alert rules for Prometheus. {MADE}\n# docs/watching.md says of each what it means and what to do.\ngroups:\n  \
         - name: isotherm\n    rules:\n"
    );
    for Alert { name, expr, hold, severity, summary } in ALERTS {
        text += &format!(
            "      - alert: {name}\n        expr: '{expr}'\n        for: {hold}\n        labels: {{ severity: {severity} }}\n        \
             annotations:\n          summary: '{summary}'\n          runbook: docs/watching.md\n"
        );
    }
    text
}

/// Queries of Prometheus for a metric, each with its legend.
fn queries(metric: &Metric) -> Vec<(String, String)> {
    let name = metric.name;
    let labels = metric.labels.join(", ");
    let legend = metric.labels.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ");
    match metric.kind {
        Kind::Counter if labels.is_empty() => {
            vec![(format!("sum(rate({name}{{job=~\"$job\"}}[$__rate_interval]))"), "a second".to_owned())]
        }
        Kind::Counter => {
            vec![(format!("sum by ({labels}) (rate({name}{{job=~\"$job\"}}[$__rate_interval]))"), legend)]
        }
        Kind::Gauge => vec![(format!("max by (instance) ({name}{{job=~\"$job\"}})"), "{{instance}}".to_owned())],
        Kind::Histogram => [("0.5", "median"), ("0.99", "p99")]
            .map(|(quantile, word)| {
                let rate = format!("rate({name}_bucket{{job=~\"$job\"}}[$__rate_interval])");
                (format!("histogram_quantile({quantile}, sum by (le, {labels}) ({rate}))"), format!("{word} {legend}"))
            })
            .to_vec(),
    }
}

fn grafana() -> String {
    let source = json!({ "type": "prometheus", "uid": "${source}" });
    let panel = |(at, metric): (usize, &Metric)| {
        let target = |(at, (expr, legend)): (usize, (String, String))| {
            let id = char::from(b'A' + at as u8).to_string();
            json!({ "refId": id, "datasource": source, "expr": expr, "legendFormat": legend })
        };
        let targets: Vec<Value> = queries(metric).into_iter().enumerate().map(target).collect();
        let unit = match metric.kind {
            _ if metric.name.ends_with("_seconds") => "s",
            _ if metric.name.ends_with("_bytes") => "bytes",
            Kind::Counter => "cps",
            _ => "short",
        };
        json!({
            "id": at + 1,
            "type": "timeseries",
            "title": metric.name,
            "description": metric.help,
            "datasource": source,
            "gridPos": { "x": 12 * (at % 2), "y": 8 * (at / 2), "w": 12, "h": 8 },
            "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] },
            "options": { "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi" } },
            "targets": targets,
        })
    };
    let panels: Vec<Value> = METRICS.iter().enumerate().map(panel).collect();
    let variables = json!([
        { "name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus" },
        {
            "name": "job", "label": "Job", "type": "query", "datasource": source, "multi": true, "includeAll": true,
            "query": "label_values(isotherm_full_stores, job)", "refresh": 2, "current": { "text": "All", "value": "$__all" },
        },
    ]);
    let dashboard = json!({
        "uid": "isotherm",
        "title": "Isotherm",
        "description": MADE,
        "schemaVersion": 39,
        "editable": true,
        "refresh": "30s",
        "time": { "from": "now-6h", "to": "now" },
        "templating": { "list": variables },
        "panels": panels,
    });
    format!("{dashboard:#}\n")
}

/// The functions of deploy/lambda/template.yaml whose lines have metrics.
const FUNCTIONS: [&str; 5] = ["ingest", "drain", "aggregate", "read", "report"];

/// How CloudWatch adds a metric up, if functions write it into lines.
fn statistics(metric: &Metric) -> &'static [&'static str] {
    match metric.kind {
        Kind::Histogram => &["p50", "p99"],
        Kind::Counter if metric.name == "isotherm_failed_tasks_total" => &[],
        Kind::Counter => &["Sum"],
        Kind::Gauge if metric.name == "isotherm_fold_lag_seconds" => &["Maximum"],
        Kind::Gauge => &[],
    }
}

fn cloudwatch() -> String {
    let widget = |(at, (metric, statistic)): (usize, (&Metric, &&str))| {
        // A search finds the metric with each value of its label: CloudWatch splits names at dots.
        let search = |function: &&str| {
            let found = format!("{{Isotherm,FunctionName}} FunctionName=\"${{Stack}}-{function}\" {}", metric.name);
            json!([{ "expression": format!("SEARCH('{found}', '{statistic}', 60)") }])
        };
        json!({
            "type": "metric",
            "x": 12 * (at % 2), "y": 6 * (at / 2), "width": 12, "height": 6,
            "properties": {
                "title": format!("{}, {statistic}", metric.name),
                "region": "${AWS::Region}",
                "period": 60,
                "metrics": FUNCTIONS.iter().map(search).collect::<Vec<_>>(),
            },
        })
    };
    let shown = METRICS.iter().flat_map(|metric| statistics(metric).iter().map(move |statistic| (metric, statistic)));
    let body = json!({ "widgets": shown.enumerate().map(widget).collect::<Vec<_>>() });
    let body = format!("{body:#}").replace('\n', "\n        ");
    format!(
        "# A CloudWatch dashboard of a stack of template.yaml. {MADE}\n#\n#   aws cloudformation deploy --stack-name \
         isotherm-dashboard --template-file deploy/lambda/dashboard.yaml --parameter-overrides Stack=isotherm\n\
         AWSTemplateFormatVersion: \"2010-09-09\"\nDescription: \"Isotherm: a dashboard of what its functions log.\"\n\n\
         Parameters:\n  Stack:\n    Type: String\n    Default: isotherm\n    Description: The name of the stack whose functions \
         are shown.\n\nResources:\n  Dashboard:\n    Type: AWS::CloudWatch::Dashboard\n    Properties:\n      DashboardName: \
         !Ref Stack\n      DashboardBody: !Sub |\n        {body}\n"
    )
}
