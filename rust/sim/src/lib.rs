//! Whole meshes in one thread under a seeded event heap: faults, oracles, scenarios. Never in the wheel.
//!
//! **The idea.** Every node runs the machines that ship: `Engine`, `Switch`, `CallTable`, the `Desk` of call graphs with
//! its `ResultStore`, and the snapshot between them.
//! Frames are encoded, decoded and verified by `wire`, so their bytes are real; signatures are of its cheap scheme. The
//! [`World`] does what drivers, kernels and networks do, in virtual time: TCP connections with delay (ordered, nothing
//! lost but by their end), one-way cuts, partitions, pauses, `kill -9`, loss of power, restarts. Handlers of functions
//! are simulated; what they really did is in the [`Ledger`].
//!
//! **The invariant.** One seed, one run: all chance comes from it, nothing iterates in an order of its own, and time is
//! the agenda's. Two runs with equal [`Trace`]s did the same.
//!
//! **The oracles** ([`oracle`]) each check one promise; the scenarios ([`scenario`]) reach what they check. A failure
//! prints one line that repeats it. With the feature `seeded-bugs` the oracles are proven: each `Defect` that is put
//! into the shipped machines on purpose must be found (`tests/seeded_bugs.rs`). The examples: `scale` prints figures of
//! large meshes, `hunt` runs many seeds. The style is that of `FoundationDB`'s simulation (Zhou et al., SIGMOD 2021).

mod agenda;
mod frame;
mod graph_case;
mod graph_fate;
mod graphs;
mod history;
mod item;
mod job;
mod ledger;
mod links;
pub mod oracle;
mod place;
mod process;
pub mod scenario;
pub mod seeds;
mod trace;
mod violation;
mod wire;
mod world;

pub use graph_fate::{GraphEnding, GraphFate, StepFate};
pub use history::History;
pub use ledger::{Ending, Fate, Ledger, Received};
pub use links::Links;
pub use place::{Place, Traffic};
pub use trace::Trace;
pub use violation::Violation;
pub use world::{Habits, Observed, Offer, World};

pub(crate) use graph_case::{STEP_AGAIN, STEP_ONCE};
pub(crate) use world::{WORK_AGAIN, WORK_ONCE, WORK_STREAM};
