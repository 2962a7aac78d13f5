//! The wire: everything two processes of the mesh must agree on, and nothing that needs a socket, a clock or a thread.
//!
//! - [`FrameHeader`], [`cut_frame`]: how a byte stream becomes frames;
//! - [`Limits`]: how large and how many; [`Role`], [`allowed`]: who may send which frame;
//! - [`encode_call`], [`decode_call`], [`encode_reply`], [`decode_reply`]: the two hot frames, written by hand, without
//!   an allocation for a plain call to a known target;
//! - [`message`]: all other messages, by serde as named `MessagePack` maps;
//! - [`encode_graph`], [`decode_answer`]: call graphs and their answers, as values of calls;
//! - [`handshake`]: who is at the other end, proven before any other frame is decoded;
//! - [`verify`]: signatures, the one place where a [`Verified`](mpreg_types::Verified) is made.
//!
//! Invariant: every decoder here takes arbitrary bytes, answers with a value or a typed error, never panics, and
//! never reserves memory by a length that the bytes declare. What newer versions append to metadata is skipped.

mod codec;
mod frame;
mod graph_value;
pub mod handshake;
mod limits;
pub mod message;
mod role;
pub mod verify;

pub use codec::{
    DecodeError, EXTRA_TEXT_BYTES_MAX, METADATA_BYTES_MAX, PATH_MAX, Process, RESOURCES_MAX, TargetCache,
    decode_call, decode_item, decode_reply, decode_target, encode_call, encode_item, encode_reply,
    encode_target,
};
pub use frame::{
    Frame, FrameError, FrameFlags, FrameHeader, FrameKind, HEADER_BYTES, Parting, UNFINISHED_MAX, cut_frame,
    decode_credit, decode_started, encode_credit, encode_started,
};
pub use graph_value::{
    decode_answer, decode_event, decode_failure, decode_graph, encode_answer, encode_event, encode_failure,
    encode_graph,
};
pub use limits::{Limits, LimitsError, PeerLimits};
pub use message::NESTING_MAX;
pub use role::{Role, allowed};
