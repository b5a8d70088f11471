//! Measures the speed of a simulation: ten million Poisson arrivals through one policy, on one core.
//!
//! `cargo bench -p isotherm-bench --bench simulate 2>/dev/null` (without the progress of the simulation)

use clap::Parser;
use divan::Bencher;
use divan::counter::ItemsCount;
use isotherm_bench::command::simulate::{Simulate, simulated};

const ARRIVALS: u64 = 10_000_000;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    simulate: Simulate,
}

fn main() {
    divan::main();
}

/// Ten million arrivals take 10,000 seconds at a thousand per second.
#[divan::bench(
    args = ["lambda", "lambda,provisioned=5", "lambda,ping=5m", "workers,locations=20", "container,nodes=1..10"],
    sample_count = 3
)]
fn ten_million(bencher: Bencher, policy: &str) {
    let flags = ["simulate", "--trace", "poisson:1000/s", "--duration", "10000s", "--policy", policy];
    let flags = Flags::try_parse_from(flags).map(|flags| flags.simulate);
    bencher.counter(ItemsCount::new(ARRIVALS)).bench(|| {
        let written = flags.as_ref().map(simulated);
        assert!(matches!(written, Ok(Ok(_))), "the simulation failed");
    });
}
