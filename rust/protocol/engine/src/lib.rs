//! One node's control brain: membership, catalog and routing composed; [`Input`] in, [`Output`] out.
//!
//! **The idea.** The machines below know nothing of each other. The engine hands each input to the one it belongs to,
//! tells what happened there to the others (membership's verdicts show and hide what the catalog holds, the catalog's
//! entries fill the routing index), and re-tags what they want done. What they know together it answers itself: who the
//! members are by name, what is offered, what changed.
//!
//! **The invariants.** The index holds exactly the functions of the owners that the catalog shows or hides; a snapshot
//! of it is published at most every [`Config::publish_interval`], own registrations at once. The facts are the
//! first entry of a node's log; after [`Input::Leave`] nothing of it is sent. Same config, seed and inputs: same outputs.
//!
//! # Use
//! Feed [`Engine::handle`] with [`Input`]s and run the [`Output`]s in order. Only inputs by the own user
//! ([`Input::Start`], [`Input::Register`], [`Input::Remove`], [`Input::Drain`]) can fail, changing nothing.

mod card;
mod certified;
mod change;
mod config;
mod conflicts;
mod convergence;
mod counters;
mod engine;
mod entries;
mod error;
mod event;
mod history;
mod idle;
mod instance;
mod join;
mod links;
mod local;
mod looks;
mod members;
mod offering;
mod peers;
mod rows;
#[cfg(test)]
mod tests;

pub use change::{Change, ChangeKind, WatchToken};
pub use config::Config;
pub use conflicts::Conflict;
pub use convergence::{Convergence, OwnerVersion};
pub use counters::Counters;
pub use engine::Engine;
pub use error::EngineError;
pub use event::{CloseReason, DialId, Event, Input, MemberChange, Message, Output, PeerNode, Timer};
pub use history::TokenTooOld;
pub use local::Local;
pub use mpreg_catalog::FunctionEntry;
pub use mpreg_membership::{Addresses, DialOutcome, Loss};
pub use mpreg_routing::Identity;
pub use rows::{CatalogQuery, Description, FunctionRow, MemberRow, VersionRow};
