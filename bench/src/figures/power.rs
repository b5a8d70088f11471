//! The smallest differences that a run could have seen.

use crate::results::Comparison;
use crate::results::figure::{COMPARED, estimate};
use crate::stats::{FAMILY_ERROR, LEAST, detectable};

/// The figures that the verdict is about, with their names in sentences.
const JUDGED: [(&str, &str); 4] = [
    ("cold_first_response_p50", "cold starts"),
    ("warm_p50", "warm latency"),
    ("requests_per_second", "throughput"),
    ("cpu_ms_per_request", "CPU time"),
];

/// For each judged figure, the share by which the two least certain platforms must differ to be told apart; `None` if
/// the figure of one is too uncertain for any.
pub(crate) fn detectable_shares(result: &Comparison) -> Vec<(&'static str, Option<f64>)> {
    let platforms = result.platforms.len();
    if platforms < 2 {
        return Vec::new();
    }
    let bound = FAMILY_ERROR / (COMPARED.len() * (platforms - 1)) as f64;
    let least = |(figure, name): (&str, &'static str)| {
        let shares = result
            .platforms
            .iter()
            .map(|measured| detectable(&estimate(&measured.figures, figure)?, measured.runs.len(), bound, LEAST));
        let most = shares.collect::<Option<Vec<f64>>>().and_then(|shares| shares.into_iter().reduce(f64::max));
        (name, most)
    };
    JUDGED.into_iter().map(least).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn what_is_less_certain_has_to_differ_more() {
        let mut result = sample();
        let share = |result: &Comparison| detectable_shares(result)[1].1.unwrap();
        let before = share(&result);
        assert!(before > LEAST, "{before}");
        let warm = &mut result.platforms[0].figures.warm.latency.p50;
        (warm.low, warm.high) = (0.5 * warm.value, 2.0 * warm.value);
        assert!(share(&result) > 2.0 * before);
        result.platforms.truncate(1);
        assert!(detectable_shares(&result).is_empty());
    }
}
