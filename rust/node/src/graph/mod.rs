//! Call graphs at a node: the driver of its desk, and the results that it holds for others.

mod calling;
mod desk;
mod door;
mod fetching;
mod held;

pub(crate) use desk::Desk;
pub(crate) use door::{GraphDoor, Knock};
pub(crate) use held::{Keep, Results};
pub(crate) use mpreg_graph::sealed;
pub use mpreg_wire::{decode_answer, decode_event, decode_failure, encode_graph};
