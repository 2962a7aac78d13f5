//! Whole nodes in memory, through the public API.
#![expect(clippy::unwrap_used, reason = "what a helper of a test cannot do fails the test")]

mod certified;
mod clients;
mod graphs;
mod line;
mod on_demand;
mod place;
mod starts;
