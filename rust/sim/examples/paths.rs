//! A representative path, walked a number of times: `paths call|graph|change COUNT`. `benchmarks/instructions.py` counts
//! its instructions at two counts; the difference is what one time costs.

#![expect(clippy::print_stderr, reason = "a path that fails says why")]

use std::process::ExitCode;

use mpreg_sim::scenario::PATHS;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().and_then(|name| PATHS.iter().find(|(known, _)| known == name));
    let count = arguments.get(1).and_then(|text| text.parse().ok());
    let (Some((_, walk)), Some(count)) = (path, count) else {
        eprintln!("paths call|graph|change COUNT");
        return ExitCode::FAILURE;
    };
    match walk(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            eprintln!("{violation}");
            ExitCode::FAILURE
        }
    }
}
