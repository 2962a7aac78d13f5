//! The routing snapshot, and the choice of a candidate on it.
//!
//! **The idea.** The engine alone writes an [`Index`] and publishes it as an immutable [`Snapshot`]; whoever calls reads
//! the newest one on its own thread and asks nobody. What changes with every call (load, round trip, connection,
//! circuit) is not in the snapshot but in one [`PeerState`] of atomics per process of the mesh, which all snapshots
//! share: a broken connection counts at once.
//!
//! **The choice** ([`Snapshot::select`]) takes the best class of candidates (usable before last resort, alive before
//! suspect, untried before tried, own contract before another one, then the highest version) and in it the less loaded of two
//! drawn at random (Mitzenmacher, "The power of two choices in randomized load balancing", IEEE TPDS 2001), or with
//! `sticky=` the one of highest rendezvous weight (Thaler and Ravishankar, "Using name-based mappings to increase hit
//! rates", IEEE/ACM Transactions on Networking 1998).
//!
//! **The invariants.** A snapshot never changes. Publishing costs what changed: names live in shards behind `Arc`.
//! Choosing allocates nothing and takes no lock. [`Snapshot::explain`] runs the same code as the choice, so what it
//! says is what happens.

mod candidate;
mod choice;
mod circuit;
mod context;
mod explanation;
mod index;
mod interner;
mod load;
mod local_function;
mod named;
mod no_candidate;
mod node_profile;
mod offer;
mod peer_state;
mod pick;
mod snapshot;
mod standing;
mod tally;
#[cfg(test)]
mod tests;

pub use candidate::Candidate;
pub use choice::Choice;
pub use circuit::{Circuit, CircuitState};
pub use context::Context;
pub use explanation::{ExplainedCandidate, Explanation, Route};
pub use index::{Index, Own};
pub use load::LOAD_FRESH;
pub use local_function::{LocalFunction, Slots};
pub use no_candidate::NoCandidate;
pub use node_profile::{Identity, NodeProfile};
pub use offer::Offer;
pub use peer_state::PeerState;
pub use snapshot::{NodeRow, Snapshot};
pub use standing::Obstacle;
pub use tally::{Counted, Tally};
