//! Frames: what a connection carries. A fixed header of 16 bytes, then metadata (only of calls and replies), then an
//! opaque payload.
//!
//! Invariant: no length that a peer declares is believed before it is checked against a limit, and nothing here
//! reserves memory.

mod control;
mod cutter;
mod error;
mod flags;
mod header;
mod kind;
mod parting;

pub use control::{decode_credit, decode_started, encode_credit, encode_started};
pub use cutter::{Frame, cut_frame};
pub use error::FrameError;
pub use flags::FrameFlags;
pub use header::{FrameHeader, HEADER_BYTES};
pub use kind::FrameKind;
pub use parting::{Parting, UNFINISHED_MAX};
