//! Writes the expected answers of vector files anew: `cargo run -p isotherm-vector-runner --example expect -- FILE…`.
//! A changed answer is a change of the contract, so read the diff.

use std::process::ExitCode;

fn main() -> ExitCode {
    for path in std::env::args().skip(1) {
        let written = std::fs::read(&path)
            .map_err(|error| error.to_string())
            .and_then(|file| isotherm_vector_runner::run(&file))
            .and_then(|answer| {
                let expected = path.replace(".json", ".expected.json");
                std::fs::write(expected, answer).map_err(|error| error.to_string())
            });
        if let Err(problem) = written {
            eprintln!("{path}: {problem}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
