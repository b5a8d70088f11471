//! The report page: one HTML file that loads nothing from the network.
//!
//! `dashboard/report/` builds its shell, `page.html`: the style, the script, and the policy that allows only these two
//! to run. This program fills in the text and the result, from which the script draws the charts.

use maud::html;

use crate::render::html::body;
use crate::results::{Baseline, Comparison, Distribution, Figures, Measured, Singles};
use crate::stats::quantile;
use crate::verdict::Verdict;

/// The page without a result, built by `npm run build` in dashboard/.
const SHELL: &str = include_str!("page.html");

/// The largest size of the page, in bytes.
const LIMIT: usize = 1_000_000;

/// The page of a result, which is never larger than a megabyte.
///
/// # Errors
/// Fails if the result can't be written as JSON.
pub(crate) fn render(result: &Comparison) -> serde_json::Result<String> {
    let title = html! { "Isotherm · " (result.workload.workload.name) " · " (result.machine.time) }.into_string();
    let body = body(result, &Verdict::of(result)).into_string();
    let room = LIMIT.saturating_sub(SHELL.len() + body.len() + title.len());
    let (json, note) = embedded(result, room)?;
    let parts = [("<!--title-->", title), ("<!--body-->", body), ("<!--note-->", note), ("<!--result-->", json)];
    let mut page = String::with_capacity(LIMIT);
    let mut rest = SHELL;
    for (mark, part) in parts {
        // A test checks that the shell has each mark once, in this order.
        let Some((before, after)) = rest.split_once(mark) else { continue };
        page.push_str(before);
        page.push_str(&part);
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

/// The result as JSON of at most `room` bytes that is safe inside HTML. A note says so if samples had to be left out.
fn embedded(result: &Comparison, room: usize) -> serde_json::Result<(String, String)> {
    let json = |result: &Comparison| Ok(serde_json::to_string(result)?.replace('<', "\\u003c"));
    let whole = json(result)?;
    if whole.len() <= room {
        return Ok((whole, String::new()));
    }
    let mut most = 1000;
    loop {
        let thinned = thinned(result, most);
        let text = json(&thinned)?;
        if text.len() <= room || most < 4 {
            let note = format!(
                "To keep this page small, distributions in it have at most {most} samples, evenly spaced by rank; result.json has all."
            );
            return Ok((text, note));
        }
        most /= 2;
    }
}

/// The result with at most `most` samples in each distribution. The kept samples have evenly spaced ranks, so that the
/// distribution keeps its shape.
fn thinned(result: &Comparison, most: usize) -> Comparison {
    let mut result = result.clone();
    let Comparison { platforms, baseline, .. } = &mut result;
    let baseline = baseline.iter_mut().flat_map(|Baseline { function, isotherm, .. }| [function, isotherm]);
    let singles = baseline.flat_map(|Singles { figures, .. }| distributions(figures));
    for distribution in platforms.iter_mut().flat_map(all_distributions).chain(singles) {
        if distribution.samples.len() > most {
            let mut sorted = std::mem::take(&mut distribution.samples);
            sorted.sort_by(f64::total_cmp);
            let rank = |place: usize| quantile(&sorted, place as f64 / (most - 1) as f64);
            distribution.samples = (0..most).map(|place| (rank(place) * 1e3).round() / 1e3).collect();
        }
    }
    result
}

fn all_distributions(measured: &mut Measured) -> impl Iterator<Item = &mut Distribution> {
    let Measured { figures, floor, reports, .. } = measured;
    let figures = [figures, floor].into_iter().flat_map(distributions);
    figures.chain(reports.latency.values_mut()).chain([&mut reports.freshness])
}

fn distributions(figures: &mut Figures) -> impl Iterator<Item = &mut Distribution> {
    let Figures { cold, warm, .. } = figures;
    let own = [&mut cold.init, &mut cold.first_response, &mut warm.latency, &mut warm.client_lag];
    own.into_iter().chain(warm.routes.values_mut())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{priced, sample};

    /// The JSON that the page's script reads.
    fn data(page: &str) -> serde_json::Value {
        let (_, rest) = page.split_once("<script type=\"application/json\" id=\"result\">").unwrap();
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn the_shell_has_each_mark_once_and_in_order() {
        let places: Vec<usize> = ["<!--title-->", "<!--body-->", "<!--note-->", "<!--result-->"]
            .iter()
            .map(|mark| {
                assert_eq!(SHELL.matches(mark).count(), 1, "{mark}");
                SHELL.find(mark).unwrap()
            })
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn the_page_says_the_verdict_and_holds_the_result() {
        let page = render(&sample()).unwrap();
        for sentence in Verdict::of(&sample()).answers {
            let text = html! { (sentence.text) }.into_string();
            assert!(page.replace("&#8288;", "").contains(&text), "{text}");
        }
        assert_eq!(serde_json::from_value::<Comparison>(data(&page)).unwrap(), sample());
        assert!(!page.contains("<!--"), "a mark is left");
    }

    #[test]
    fn sections_without_data_are_left_out() {
        let has = |page: &str, id: &str| page.contains(&format!("<section id=\"{id}\""));
        let (without, with) = (render(&sample()).unwrap(), render(&priced()).unwrap());
        for id in ["verdict", "cold", "warm", "throughput", "baseline", "reports", "size", "guarantees", "method"] {
            assert!(has(&without, id) && has(&with, id), "{id}");
        }
        for id in ["cost", "volume", "cold-share"] {
            assert!(!has(&without, id) && has(&with, id), "{id}");
        }
    }

    #[test]
    fn what_a_result_holds_is_text() {
        let mut result = priced();
        let evil = "</script><img src=x onerror=\"alert(1)\">";
        result.workload.source = evil.into();
        result.not_started[0].reason = evil.into();
        result.cold_share[0].name = evil.into();
        let page = render(&result).unwrap();
        assert!(!page.contains("<img"), "markup from data");
        assert_eq!(data(&page)["workload"]["source"], evil);
    }

    #[test]
    fn a_large_result_is_thinned_and_keeps_its_distributions() {
        let mut result = sample();
        let samples: Vec<f64> = (0..50_000).map(|n| f64::from((n * 7919) % 50_000) / 1000.0).collect();
        for measured in &mut result.platforms {
            measured.figures.warm.latency.samples = samples.clone();
        }
        let page = render(&result).unwrap();
        assert!(page.len() <= LIMIT, "{} bytes", page.len());
        assert!(page.contains("at most 1000 samples, evenly spaced by rank; result.json has all"));
        let data: Comparison = serde_json::from_value(data(&page)).unwrap();
        let latency = &data.platforms[0].figures.warm.latency;
        assert_eq!(
            (latency.samples.len(), latency.n, latency.p99),
            (1000, 2, result.platforms[0].figures.warm.latency.p99)
        );
        for q in [0.0, 0.5, 0.99, 1.0] {
            assert!((quantile(&latency.samples, q) - 49.999 * q).abs() < 0.01, "{q}");
        }
        assert_eq!(data.platforms[0].figures.cold, result.platforms[0].figures.cold);
    }
}
