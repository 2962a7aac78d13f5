//! Scenarios are run with seeds; a failure prints the one line that repeats it.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Violation;

/// Set to a number, every scenario runs with that seed alone.
pub const SEED_VARIABLE: &str = "MPREG_SIM_SEED";

/// A scenario: everything that happens in it follows from the seed.
pub type Scenario = fn(u64) -> Result<(), Violation>;

/// Runs `scenario` with each of `seeds`, or with the one of [`SEED_VARIABLE`]. The error is the line that repeats the
/// first failure, and what it was.
pub fn run(name: &str, scenario: Scenario, seeds: impl IntoIterator<Item = u64>) -> Result<(), String> {
    let only = std::env::var(SEED_VARIABLE).ok().and_then(|text| text.parse().ok());
    let seeds: Vec<u64> = match only {
        Some(seed) => vec![seed],
        None => seeds.into_iter().collect(),
    };
    match first_failure(scenario, seeds) {
        None => Ok(()),
        Some((seed, what)) => {
            let mut line = String::new();
            let _ = write!(
                line,
                "{what}\nreplay: {SEED_VARIABLE}={seed} cargo test -p mpreg-sim {name} -- --exact"
            );
            Err(line)
        }
    }
}

/// The first of `seeds` with which a promise is broken (or a machine's own assertion), and how.
pub fn first_failure(scenario: Scenario, seeds: impl IntoIterator<Item = u64>) -> Option<(u64, String)> {
    seeds.into_iter().find_map(|seed| match catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some((seed, violation.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Some((seed, format!("panic: {}", text.unwrap_or_default())))
        }
    })
}
