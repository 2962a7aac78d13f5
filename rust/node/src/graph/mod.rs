//! Call graphs at a node: their bytes, the desk that coordinates them, and the results that it holds for others.

mod desk;
mod door;
mod fetching;
mod graph_run;
mod held;
mod value;

pub(crate) use desk::Desk;
pub(crate) use door::{GraphDoor, Knock};
pub(crate) use held::{Keep, Results, sealed};
pub use value::{decode_answer, decode_failure, encode_graph};
