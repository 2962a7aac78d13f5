//! What happens, in one seed's way; the oracles say whether it went well.

mod calls;
mod catalog;
mod deaths;
mod graphs;
mod idle;
mod paths;
mod scale;
mod stalls;
mod streams;

pub use calls::{
    calls_beyond_the_full_mesh, calls_survive_chaos, calls_without_faults, chaos, polite_leaves,
};
pub use catalog::{changes_reach_all, nodes_come_and_go, split_and_heal};
pub use deaths::{process_deaths, silent_deaths};
pub use graphs::{graphs, stormy_graphs};
pub use idle::idle_mesh;
pub use paths::{PATHS, Walk, call_path, change_path, graph_path};
pub use scale::{Report, scale};
pub use stalls::{all_stall, one_stalls, paused_for_long};
pub use streams::{streams_survive_chaos, streams_without_faults};

use crate::seeds::Scenario;

/// Every scenario that only succeeds or fails, by its name.
pub const ALL: &[(&str, Scenario)] = &[
    ("changes_reach_all", changes_reach_all),
    ("split_and_heal", split_and_heal),
    ("nodes_come_and_go", nodes_come_and_go),
    ("process_deaths", process_deaths),
    ("silent_deaths", silent_deaths),
    ("one_stalls", one_stalls),
    ("all_stall", all_stall),
    ("paused_for_long", paused_for_long),
    ("idle_mesh", idle_mesh),
    ("calls_without_faults", calls_without_faults),
    ("calls_beyond_the_full_mesh", calls_beyond_the_full_mesh),
    ("calls_survive_chaos", calls_survive_chaos),
    ("polite_leaves", polite_leaves),
    ("streams_without_faults", streams_without_faults),
    ("streams_survive_chaos", streams_survive_chaos),
    ("graphs", graphs),
];
