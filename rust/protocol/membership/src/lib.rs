//! Who belongs to the cluster and who answers: SWIM membership of one cluster, as a pure machine.
//!
//! **The idea.** `foca` (SWIM with suspicion and incarnations) does what it is good at: it chooses whom to probe, asks
//! others to probe for it, merges what it hears by SWIM's order of precedence, and makes an accused node refute. This
//! crate is the adapter around it and does what foca does not:
//!
//! * *Dissemination.* Whoever sees a member come up, suspects it, holds it for Down or refutes pushes that to every
//!   connected peer at once; deaths, refutations and leaves are passed on once by everybody who sees them first (beyond
//!   the full mesh all news is). On connect, and every few seconds with one random peer, the tables are compared by hash
//!   and repaired. foca's own piggyback, which forgets rumours, is cut off.
//! * *Local health* (Lifeguard, Dadgar et al. 2017): a node that finds itself late shifts everything it waits for by
//!   the lateness and so accuses nobody for its own sleep.
//! * *Evidence before hearsay.* A suspicion goes straight to the suspect. Who has heard from an accused node since the
//!   accusation does not believe its death, asks it again, and counts an overturned accusation.
//! * *Process death, taken addresses, leaving*: facts that a connection oriented transport can tell and SWIM cannot.
//! * *Whom to be connected to*: everybody up to `full_mesh_max` members, a random active view beyond, and when to dial.
//!
//! **The invariants.** A member is believed dead only by silence of at least `probe_period + suspicion` (or by proof:
//! a refused redial, a taken address). Down is hearsay and can be taken back by the living; Left carries its owner's
//! signature and cannot. A newer incarnation of a node replaces the older one, never the other way round. Everything
//! that is held has a bound in [`Config`].
//!
//! Sources: Das, Gupta, Motivala: SWIM (DSN 2002); Dadgar, Phillips, Currey: Lifeguard (2017).

mod addresses;
mod codec;
mod config;
mod connections;
mod counters;
mod dialer;
mod error;
mod event;
mod health;
mod leave;
mod leaving;
mod member;
mod membership;
mod news;
mod parts;
mod repair;
mod row;
mod rumours;
mod schedule;
mod swim;
mod swim_id;
mod table;
mod view;

pub use addresses::Addresses;
pub use config::Config;
pub use counters::Counters;
pub use error::{AddressesError, ConfigError, LeaveError};
pub use event::{DialId, DialOutcome, DropReason, Event, Input, Loss, Message, Output, Timer};
pub use leave::Leave;
pub use member::{LocalMember, Member, MemberIdentity};
pub use membership::Membership;
pub use row::{Row, RowState};
