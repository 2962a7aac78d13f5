//! The two machines through their public interface: the table alone, the switch alone, and both on a lossy fabric.

mod cluster;
mod fabric;
mod port;
mod promises;
mod station;
mod switch_local;
mod switch_relay;
mod table_deadline;
mod table_lines;
mod table_retry;
mod wire;
