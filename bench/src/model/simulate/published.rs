//! Init durations of AWS Lambda, recorded by lambda-perf: `bench/data/lambda-perf-2026-08.txt.gz`. The README beside it
//! describes the method and the licence. Each runtime, architecture and memory size has one line: its name, then its
//! sorted durations in units of 10 µs.

use std::io::Read;

use anyhow::{Context, Result};

use crate::model::simulate::time::Micros;

const RECORDINGS: &[u8] = include_bytes!("../../../data/lambda-perf-2026-08.txt.gz");

/// The default recording.
pub(crate) const DEFAULT: &str = "rust-al2023-x86-128";

/// The architecture and memory in a recording's name: `rust-al2023-x86-128` ran on x86 with 128 MB.
pub(crate) fn machine(name: &str) -> Option<(&str, u32)> {
    let (rest, memory) = name.rsplit_once('-')?;
    let (_, arch) = rest.rsplit_once('-')?;
    Some((arch, memory.parse().ok()?))
}

/// The recorded init durations of a name such as `rust-al2023-x86-128`.
///
/// # Errors
/// Fails if there is no recording of that name; the message lists the names that begin alike.
pub(crate) fn init(name: &str) -> Result<Vec<Micros>> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(RECORDINGS).read_to_string(&mut text).context("the program's own recordings")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let durations = line.with_context(|| {
        let runtime = name.split('-').next().unwrap_or_default();
        let names = || text.lines().filter_map(|line| line.split(' ').next());
        let alike: Vec<&str> = names().filter(|other| other.starts_with(runtime)).collect();
        let shown = if alike.is_empty() { names().collect() } else { alike };
        format!("there is no recording {name:?}; there are {}", shown.join(", "))
    })?;
    let tens = durations.split(' ').map(|tens| tens.parse().map(|tens: u64| Micros(10 * tens)));
    tens.collect::<Result<_, _>>().context("the program's own recordings")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::simulate::draw::Sourced;

    /// Quantiles (NumPy's default, linear) of the published recordings, before they were compacted.
    #[test]
    fn recordings_have_the_quantiles_of_what_they_were_made_from() {
        let rust = Sourced::published(DEFAULT).unwrap();
        let at = |u: f64| (rust.draw.at(u).ms() * 10.0).round() / 10.0;
        assert_eq!([at(0.5), at(0.9), at(0.99)], [15.9, 19.7, 50.2]);
        assert!(rust.source.contains("n = 208"), "{}", rust.source);
        let node = Sourced::published("nodejs24-x86-128").unwrap();
        assert_eq!((node.draw.at(0.5).ms() * 10.0).round() / 10.0, 135.9);
    }

    #[test]
    fn all_recordings_are_there_and_sorted() {
        let mut text = String::new();
        flate2::read::GzDecoder::new(RECORDINGS).read_to_string(&mut text).unwrap();
        let mut all = 0;
        for line in text.lines() {
            let name = line.split(' ').next().unwrap();
            let (arch, memory) = machine(name).unwrap();
            assert!(["x86", "arm"].contains(&arch) && [128, 256, 512, 1024].contains(&memory), "{name}");
            let samples = init(name).unwrap();
            assert!(samples.is_sorted(), "{name}");
            all += samples.len();
        }
        assert_eq!((text.lines().count(), all), (56, 11_676));
    }

    #[test]
    fn a_name_that_is_not_there_gets_those_that_are() {
        let error = init("rust-x86").unwrap_err().to_string();
        assert!(error.contains("rust-al2023-x86-128") && !error.contains("nodejs"), "{error}");
    }
}
