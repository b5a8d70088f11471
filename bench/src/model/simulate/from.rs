//! Takes the measurements of each platform from a comparison's result.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use crate::model::simulate::draw::{Draw, Sourced};
use crate::model::simulate::time::Micros;
use crate::results::{Comparison, Distribution};

/// The measurements of one platform in a run.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Time of a cold start until the instance was ready.
    pub init: Sourced,
    /// Latency of warm requests.
    pub service: Sourced,
    /// CPU milliseconds per request.
    pub cpu_ms: f64,
}

/// The measurements of a run; empty if no run was named.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measurements {
    source: Option<String>,
    platforms: BTreeMap<&'static str, Measured>,
}

impl Measurements {
    /// The measurements of a comparison's result, which has this name.
    ///
    /// # Errors
    /// Fails if a platform has no samples, or samples that are no times.
    pub(crate) fn in_result(result: &Comparison, name: &str) -> Result<Self> {
        let mut platforms = BTreeMap::new();
        for measured in &result.platforms {
            let (platform, figures) = (measured.platform.name(), &measured.figures);
            let sourced = |what: &str, Distribution { samples, .. }: &Distribution| -> Result<Sourced> {
                let draw = Draw::samples(samples)
                    .with_context(|| format!("{name}: {platform} has no samples of {what} that are times"))?;
                Ok(Sourced { draw, source: format!("measured: {platform}, {what}, n = {}, {name}", samples.len()) })
            };
            let measured = Measured {
                init: sourced("cold init", &figures.cold.init)?,
                service: sourced("warm latency", &figures.warm.latency)?,
                cpu_ms: figures.cpu.ms_per_request.value,
            };
            ensure!((0.0..1e9).contains(&measured.cpu_ms), "{name}: {platform} has no CPU time a request");
            platforms.insert(platform, measured);
        }
        Ok(Self { source: Some(name.to_owned()), platforms })
    }

    /// Adds a wait to each warm request of a platform, for a store that the run did not have. `words` say so.
    pub(crate) fn wait(&mut self, platform: &str, ms: f64, words: &str) {
        if let Some(measured) = self.platforms.get_mut(platform) {
            measured.service.draw = measured.service.draw.after(Micros::from_ms(ms));
            measured.service.source += &format!("; {words}");
        }
    }

    /// The measurements of a platform; `None` if no run was named.
    ///
    /// # Errors
    /// Fails if the run has no measurements of it.
    pub(crate) fn of(&self, platform: &str) -> Result<Option<&Measured>> {
        match (&self.source, self.platforms.get(platform)) {
            (Some(source), None) => bail!("{source} has no measurements of {platform}"),
            (_, measured) => Ok(measured),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn a_result_gives_samples_and_says_so() {
        let mut result = sample();
        result.platforms.truncate(1);
        let figures = &mut result.platforms[0].figures;
        figures.cold.init.samples = vec![3.0, 1.0];
        figures.warm.latency.samples = vec![0.5, 0.7];
        figures.cpu.ms_per_request.value = 1.25;
        let measurements = Measurements::in_result(&result, "r.json").unwrap();
        let lambda = measurements.of("lambda").unwrap().unwrap();
        assert_eq!((lambda.init.draw.at(0.5).ms(), lambda.service.draw.at(0.0).ms(), lambda.cpu_ms), (2.0, 0.5, 1.25));
        assert_eq!(lambda.init.source, "measured: lambda, cold init, n = 2, r.json");
        let mut later = measurements.clone();
        later.wait("lambda", 5.0, "a store beside it");
        let service = &later.of("lambda").unwrap().unwrap().service;
        assert_eq!((service.draw.at(0.0).ms(), service.source.ends_with("r.json; a store beside it")), (5.5, true));
        let error = measurements.of("workers").err().unwrap().to_string();
        assert_eq!(error, "r.json has no measurements of workers");
        assert!(Measurements::default().of("workers").unwrap().is_none());
    }

    #[test]
    fn samples_that_are_no_times_are_refused() {
        let error = |change: fn(&mut Comparison)| {
            let mut result = sample();
            change(&mut result);
            format!("{:#}", Measurements::in_result(&result, "r.json").unwrap_err())
        };
        let without = error(|result| result.platforms[0].figures.warm.latency.samples.clear());
        assert!(without.starts_with("r.json: lambda has no samples of warm latency"), "{without}");
        let negative = error(|result| result.platforms[0].figures.cold.init.samples = vec![-3.0]);
        assert!(negative.starts_with("r.json: lambda has no samples of cold init"), "{negative}");
    }
}
