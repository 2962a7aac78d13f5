//! Who offers what: one signed log per owner, pushed at once and repaired by digests.
//!
//! **The idea.** Every entry has one writer, its owner, so there is nothing to merge: an owner numbers its changes
//! 1, 2, 3.. and signs them in batches. A node at version `v` of an owner applies what begins at or before `v + 1` and
//! asks for the rest. A batch is verified, stored, compared and relayed byte for byte, so any relay can serve any
//! owner and forge none. A snapshot (the live entries at one version) replaces what is held; it makes tombstones
//! short-lived without a clock, and nothing it left out can come back.
//!
//! **The invariant.** What is held of an owner is exactly that owner's state at one of its versions, and the version
//! only rises within an incarnation. So applying twice changes nothing, and nodes at equal versions hold equal
//! entries: comparing versions is enough to compare catalogs.
//!
//! Liveness is not decided here: membership's verdicts come in as [`Input::Member`] and only hide or drop.
//!
//! Sources: van Renesse et al., "Efficient reconciliation and flow control for anti-entropy protocols" (Scuttlebutt,
//! LADIS 2008) for versions per owner and digests; Demers et al., "Epidemic algorithms for replicated database
//! maintenance" (PODC 1987) for push first, repair by random comparison.
//!
//! # Use
//! Feed [`Catalog::handle`] with [`Input`]s and run the [`Output`]s. Only [`Input::Put`] and [`Input::Remove`] can
//! fail; what others send wrongly is refused, counted in [`Counters`] and told as [`Event::Refused`].

mod batch;
mod catalog;
mod config;
mod counters;
mod digest;
mod entry_key;
mod entry_value;
mod error;
mod event;
mod exchange;
mod function_entry;
mod intake;
mod node_facts;
mod own_log;
mod owner;
mod owner_log;
mod parts;
mod refusal;
mod repair;
mod standing;
#[cfg(test)]
mod tests;

pub use catalog::{Catalog, OwnerView};
pub use config::Config;
pub use counters::Counters;
pub use digest::{Digest, DigestRow, Root, WantRow};
pub use entry_key::{EntryKey, EntryKind};
pub use entry_value::{EntryValue, OpaqueEntry};
pub use error::CatalogError;
pub use event::{Event, Input, Message, Output, Timer};
pub use function_entry::FunctionEntry;
pub use node_facts::NodeFacts;
pub use refusal::Refusal;
