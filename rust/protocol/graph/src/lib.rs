//! Call graphs: several calls in one request, driven by the node where the request came in.
//!
//! **The idea.** A [`Plan`] is a graph that was checked. A [`Run`] drives one: a step is called as soon as its own inputs
//! are there. Small results travel inside the next calls; a larger one stays with the node that made it, in its
//! [`ResultStore`], and the node that needs it fetches it, or a part of it ([`project`]), by a [`Grant`](mpreg_types::Grant)
//! that is worth nothing to anybody else, and puts it into the arguments ([`Gathering`]).
//!
//! **The invariants.** A step runs once, or again only if its result was lost and its function is idempotent. A run ends
//! once, and what is held for it is freed when it ends or its deadline passes. Values are opaque but for [`project`], which
//! walks from container to container and decodes nothing else.
//!
//! A [`Desk`] is all of this at one node, and acts through a [`DeskPort`].
//!
//! All is pure: time comes in as deadlines, secrets come from the edge, what is to be done comes out as [`Order`].

mod arguments;
mod desk;
mod desk_port;
mod events;
mod fetching;
mod gathering;
mod grant;
mod graph_run;
mod plan;
mod project;
mod report;
mod results;
mod run;
mod step_state;
mod walker;
mod watching;

pub use desk::{Desk, NewGraph};
pub use desk_port::{Cargo, DeskCall, DeskPort, Outcome};
pub use fetching::part_of;
pub use gathering::Gathering;
pub use grant::{grant, open_grant, sealed};
pub use plan::{GraphLimits, Plan, PlanError};
pub use project::{NoSuchPart, project};
pub use results::{FetchRefused, ResultLimits, ResultStore, StoreFull};
pub use run::{Order, Run};
pub use step_state::{HeldPart, StepDone, StepFailed, StepValue};
