//! Lambda's memory sizes: what a request takes and costs at each, modelled as power tuning measures it.
//!
//! A function has a share of a processor that follows its memory: a whole one at 1,769 MB. CPU time stretches by that
//! share, and waiting for the store does not. Beyond a whole processor, one request gains nothing.

use anyhow::{Context, Result};
use isotherm_hosts::Platform;

use crate::model::cost::assumptions::Assumptions;
use crate::model::prices::Book;
use crate::results::Comparison;

/// The memory of a function with one whole processor, by AWS's documentation.
const WHOLE_MB: f64 = 1769.0;
const SIZES_MB: [u32; 8] = [128, 256, 512, 1024, 1536, 1769, 2048, 3008];
const REQUESTS: f64 = 1e6;

/// One memory size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size {
    pub(crate) memory_mb: u32,
    /// The share of a processor.
    pub(crate) processor: f64,
    /// Milliseconds of a request, waiting included.
    pub(crate) ms: f64,
    /// USD for a million requests of the function alone.
    pub(crate) usd: f64,
}

/// The function of a run's requests at each memory size; empty if Lambda was not metered.
///
/// # Errors
/// Fails if the price book lacks something.
pub(crate) fn sizes(result: &Comparison) -> Result<Vec<Size>> {
    let lambda = result.platforms.iter().find(|measured| measured.platform == Platform::Lambda);
    let ingest = lambda.and_then(|measured| measured.meters.as_ref()?.readings.functions.get("ingest"));
    let Some(ingest) = ingest.filter(|ingest| ingest.count > 0) else { return Ok(Vec::new()) };
    let assumed = Assumptions::read()?;
    let cpu = 1e3 * ingest.cpu.as_secs_f64() / ingest.count as f64 * assumed.value("cpu-factor")?;
    let wait = assumed.value("dynamodb-ms")?;
    let time: jiff::Timestamp = result.machine.time.parse().context("the time of the run")?;
    let day = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    let book = Book::own()?;
    let [request, duration] = [book.price("lambda-request", day)?, book.price("lambda-duration-x86", day)?];
    let size = |memory_mb: u32| {
        let processor = (f64::from(memory_mb) / WHOLE_MB).min(1.0);
        let ms = cpu / processor + wait;
        let gb_seconds = f64::from(memory_mb) / 1024.0 * ms.ceil() / 1e3 * REQUESTS;
        Size { memory_mb, processor, ms, usd: request.usd(REQUESTS, false) + duration.usd(gb_seconds, false) }
    };
    Ok(SIZES_MB.into_iter().map(size).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn more_memory_is_never_slower_and_beyond_a_processor_only_dearer() {
        let sizes = sizes(&sample()).unwrap();
        assert_eq!(sizes.len(), SIZES_MB.len());
        assert!(sizes.is_sorted_by(|one, two| one.ms >= two.ms), "{sizes:?}");
        // 1 ms of CPU time a request and 5 ms of waiting: 128 MB have 0.072 of a processor, so it takes 18.8 ms.
        assert!((sizes[0].ms - (WHOLE_MB / 128.0 + 5.0)).abs() < 1e-9, "{sizes:?}");
        // 19 ms with an eighth of a GB cost 0.0396 for a million, and the requests themselves 0.20.
        assert!((sizes[0].usd - (0.20 + 0.125 * 0.019 * 1e6 * 0.000_016_666_7)).abs() < 1e-6, "{sizes:?}");
        let (whole, most) = (sizes[5], sizes[7]);
        assert_eq!((whole.processor, whole.ms), (1.0, most.ms));
        assert!(most.usd > whole.usd);
        let mut without = sample();
        without.platforms.remove(0);
        assert!(super::sizes(&without).unwrap().is_empty());
    }
}
