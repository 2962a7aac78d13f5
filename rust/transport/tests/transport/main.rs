//! Connections between two ends in one process, over everything that carries them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what a helper of a test cannot do fails the test"
)]

mod addresses;
mod breaches;
mod carriers;
mod common;
mod faults;
mod goodbyes;
mod handshakes;
mod lanes;
mod sending;
mod streams;
mod tls;
