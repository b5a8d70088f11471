//! Takes the measurements of each platform from a comparison's result.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::compare::result::SCHEMA;
use crate::simulate::draw::{Draw, Sourced};

/// The measurements of one platform in a run.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Time of a cold start until the instance was ready.
    pub init: Sourced,
    /// Latency of warm requests.
    pub service: Sourced,
    /// CPU milliseconds per request.
    pub cpu_ms: f64,
}

/// The measurements of a run; empty if no run was named.
#[derive(Clone, Debug, Default)]
pub(super) struct Measurements {
    source: Option<String>,
    platforms: BTreeMap<String, Measured>,
}

/// The parts of a result that are needed here. Other fields are ignored, so that later additions do no harm.
#[derive(Deserialize)]
struct Document {
    schema: String,
    platforms: Vec<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    platform: String,
    cold: Cold,
    warm: Warm,
    cpu: Cpu,
}

#[derive(Deserialize)]
struct Cold {
    init: Samples,
}

#[derive(Deserialize)]
struct Warm {
    latency: Samples,
}

#[derive(Deserialize)]
struct Samples {
    samples: Vec<f64>,
}

#[derive(Deserialize)]
struct Cpu {
    ms_per_request: Value,
}

#[derive(Deserialize)]
struct Value {
    value: f64,
}

impl Measurements {
    /// Reads the `result.json` of a comparison.
    ///
    /// # Errors
    /// Fails if the file can't be read or is not a comparison's result.
    pub(super) fn read(file: &Path) -> Result<Self> {
        Self::parse(&crate::text::read(file)?, &file.display().to_string())
    }

    /// Reads the text of a comparison's result.
    ///
    /// # Errors
    /// Fails if the text is not a comparison's result.
    pub(super) fn parse(text: &str, name: &str) -> Result<Self> {
        let document: Document =
            serde_json::from_str(text).with_context(|| format!("{name} is no result of isotherm compare"))?;
        ensure!(document.schema == SCHEMA, "{name} has the schema {:?}, not {SCHEMA:?}", document.schema);
        let mut platforms = BTreeMap::new();
        for Platform { platform, cold, warm, cpu } in document.platforms {
            let sourced = |what: &str, samples: &[f64]| -> Result<Sourced> {
                let draw = Draw::samples(samples)
                    .with_context(|| format!("{name}: {platform} has no samples of {what} that are times"))?;
                Ok(Sourced { draw, source: format!("measured: {platform}, {what}, n = {}, {name}", samples.len()) })
            };
            let measured = Measured {
                init: sourced("cold init", &cold.init.samples)?,
                service: sourced("warm latency", &warm.latency.samples)?,
                cpu_ms: cpu.ms_per_request.value,
            };
            ensure!((0.0..1e9).contains(&measured.cpu_ms), "{name}: {platform} has no CPU time a request");
            platforms.insert(platform, measured);
        }
        Ok(Self { source: Some(name.to_owned()), platforms })
    }

    /// The measurements of a platform; `None` if no run was named.
    ///
    /// # Errors
    /// Fails if the run has no measurements of it.
    pub(super) fn of(&self, platform: &str) -> Result<Option<&Measured>> {
        match (&self.source, self.platforms.get(platform)) {
            (Some(source), None) => bail!("{source} has no measurements of {platform}"),
            (_, measured) => Ok(measured),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = r#"{"schema":"isotherm.compare/1","later":1,"platforms":[{"platform":"lambda",
        "cold":{"init":{"samples":[3.0,1.0]}},"warm":{"latency":{"samples":[0.5,0.7]}},
        "cpu":{"ms_per_request":{"value":1.25}}}]}"#;

    #[test]
    fn a_result_gives_samples_and_says_so() {
        let measurements = Measurements::parse(RESULT, "r.json").unwrap();
        let lambda = measurements.of("lambda").unwrap().unwrap();
        assert_eq!((lambda.init.draw.at(0.5).ms(), lambda.service.draw.at(0.0).ms(), lambda.cpu_ms), (2.0, 0.5, 1.25));
        assert_eq!(lambda.init.source, "measured: lambda, cold init, n = 2, r.json");
        let error = measurements.of("workers").err().unwrap().to_string();
        assert_eq!(error, "r.json has no measurements of workers");
        assert!(Measurements::default().of("workers").unwrap().is_none());
    }

    #[test]
    fn what_is_no_result_is_refused() {
        for (text, expect) in [
            (RESULT.replace("compare/1", "compare/9"), "r.json has the schema \"isotherm.compare/9\""),
            (RESULT.replace("[0.5,0.7]", "[]"), "r.json: lambda has no samples of warm latency"),
            (RESULT.replace("[3.0,1.0]", "[-3.0]"), "r.json: lambda has no samples of cold init"),
            ("{}".to_owned(), "r.json is no result of isotherm compare: missing field"),
        ] {
            let error = format!("{:#}", Measurements::parse(&text, "r.json").unwrap_err());
            assert!(error.starts_with(expect), "{error}");
        }
    }
}
