//! Clusters in virtual time: deaths, stalls, partitions, leaves, restarts, bad links, liars, large clusters.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that finds nothing shall fail on the spot"
)]

mod any_input;
mod death;
mod faults;
mod large;
mod leaving;
mod partition;
mod report;
mod restart;
mod rumours;
mod stall;
mod world;
