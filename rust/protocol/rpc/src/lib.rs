//! The data plane's machines: [`CallTable`] makes calls, [`Switch`] takes what arrives.
//!
//! **The idea.** A call needs no thought of anybody but the two at its ends. The caller chooses on the routing snapshot,
//! keeps the call in a slot whose index is the token of its frame, and knows at any moment what is known of its
//! execution. The callee admits or refuses before anything starts, and answers every call exactly once.
//!
//! **The invariants.** A call completes exactly once. `executed="no"` is only ever said when it is provable: no byte was
//! handed to the kernel, or a node refused it before its function began, and a [`Claim`] makes sure that it never will
//! begin. Nothing is sent twice after it was handed on, unless its function is idempotent. Everything is bounded
//! ([`TableConfig`], [`SwitchConfig`], [`WorkloadConfig`], [`RetryConfig`]).
//!
//! Both machines are pure: time comes in, chance comes from a seed, what they do goes through [`Outbound`] or comes out
//! as [`Output`]. In steady state neither allocates per call, but for the client's name that a relayed call carries.

mod admission;
mod attempt;
mod builtins;
mod call_table;
mod choose;
mod claim;
mod completion;
mod config;
mod counters;
mod error_value;
mod flow;
mod gather;
mod goodbye;
mod inbound;
mod item_gate;
mod key;
mod lapse;
mod links;
mod outbound;
mod output;
mod peer_link;
mod relay;
mod request;
mod retry;
mod rng;
mod slab;
mod slot;
mod switch;
mod switch_items;
mod table_items;
mod verdict;
mod wake;
mod wheel;
mod workers;
mod workload;

pub use call_table::{CallTable, Caller};
pub use claim::Claim;
pub use completion::{Attempt, CallFailure, Completion, Success};
pub use config::{SwitchConfig, TableConfig};
pub use counters::{SwitchCounters, TableCounters};
pub use error_value::{decode_error, encode_error};
pub use flow::Taken;
pub use goodbye::Goodbye;
pub use item_gate::{ItemGate, Pass};
pub use key::{CallKey, InboundKey, SLOTS_MAX, SWITCH_BRIDGE, bridge_of};
pub use outbound::{LocalCall, Outbound, SendFailure};
pub use output::{Invocation, NotSent, Output};
pub use peer_link::Peer;
pub use request::{Request, Route};
pub use retry::{RetryBudget, RetryConfig};
pub use switch::Switch;
pub use workers::{OWN_CALLS, OwnCall, WorkerOffer};
pub use workload::{Running, Runs, Workload, WorkloadConfig};
