//! The two machines through their public interface: the table alone, the switch alone, and both on a lossy fabric.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod desk;
mod fabric;
mod goodbyes;
mod port;
mod process;
mod promises;
mod station;
mod steps;
mod switch_builtins;
mod switch_local;
mod switch_relay;
mod switch_streams;
mod switch_workers;
mod table_deadline;
mod table_lines;
mod table_retry;
mod table_streams;
mod timing;
mod wire;
