//! Many seeds: `cargo run --release -p mpreg-sim --example hunt -- calls_survive_chaos 1 1000`; `all` for all scenarios.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use std::process::ExitCode;

use mpreg_sim::scenario::ALL;
use mpreg_sim::seeds;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, first, count] = arguments.as_slice() else {
        eprintln!("hunt SCENARIO|all FIRST COUNT");
        return ExitCode::FAILURE;
    };
    let (Ok(first), Ok(count)) = (first.parse::<u64>(), count.parse::<u64>()) else {
        eprintln!("FIRST and COUNT are numbers");
        return ExitCode::FAILURE;
    };
    let mut found = false;
    for (scenario, run) in ALL.iter().filter(|(scenario, _)| name == "all" || name == scenario) {
        match seeds::run(scenario, *run, first..first.saturating_add(count)) {
            Ok(()) => println!("{scenario}: {count} seeds from {first} on are fine"),
            Err(why) => {
                found = true;
                println!("{scenario}: {why}");
            }
        }
    }
    if found { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
