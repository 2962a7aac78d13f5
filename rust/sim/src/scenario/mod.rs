//! What happens, in one seed's way; the oracles say whether it went well.

mod calls;
mod catalog;
mod deaths;
mod idle;
mod stalls;

pub use calls::{calls_survive_chaos, calls_without_faults};
pub use catalog::{changes_reach_all, nodes_come_and_go, split_and_heal};
pub use deaths::{process_deaths, silent_deaths};
pub use idle::idle_mesh;
pub use stalls::{all_stall, one_stalls, paused_for_long};
