//! Figures of large meshes: `cargo run --release -p mpreg-sim --example scale -- 50 200 1000`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use std::process::ExitCode;
use std::time::Instant;

use mpreg_sim::scenario::scale;

/// The seed of all runs: the figures are the same each time.
const SEED: u64 = 1;

fn main() -> ExitCode {
    let sizes: Result<Vec<usize>, _> = std::env::args().skip(1).map(|text| text.parse()).collect();
    let sizes = match sizes {
        Ok(sizes) if sizes.iter().all(|nodes| *nodes > 1) => sizes,
        _ => {
            eprintln!("how many nodes? numbers from 2 on, for example: 50 200 1000");
            return ExitCode::FAILURE;
        }
    };
    for nodes in if sizes.is_empty() { vec![50, 200] } else { sizes } {
        let start = Instant::now();
        match scale(nodes, SEED) {
            Ok(report) => println!("{report}\n  simulated in {:.1?}", start.elapsed()),
            Err(violation) => {
                eprintln!("{nodes} nodes, seed {SEED}: {violation}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
