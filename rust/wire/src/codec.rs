//! Metadata of the two hot frames, as `MessagePack` arrays (<https://msgpack.org>) with fixed places.
//!
//! An array, because names would cost more than the values. It only ever grows at its end: a decoder skips elements it
//! does not know, so N-1 reads what N writes. Absent things are nil.
//!
//! Call: `[token, origin, sequence, attempt, remaining us, value bytes, hops left, forwards, stream, target, extras]`,
//! origin = nil for the sender itself or `[NodeId, Incarnation]`, target = the bytes of [`encode_target`] as one
//! binary, extras = nil or `[path, pinned exit, client, trace, metadata, idempotency key, tell node]`.
//!
//! Reply: `[token, ok, executed, value bytes, load, extras]`, load = nil or `[in flight, queued]`, extras = nil or
//! `[node, retry after us, path, ledger, idempotent, label]`.
//!
//! Item: no array, there may be millions: the call's token in 8 bytes, and 8 more with the length of a value in chunks.

mod call;
mod error;
pub(crate) mod graph;
mod item;
mod pack;
mod reply;
mod target;
mod target_cache;
mod unpack;

pub use call::{EXTRA_TEXT_BYTES_MAX, METADATA_BYTES_MAX, PATH_MAX, Process, decode_call, encode_call};
pub use error::DecodeError;
pub use item::{decode_item, encode_item};
pub use reply::{decode_reply, encode_reply};
pub use target::{RESOURCES_MAX, decode_target, encode_target};
pub use target_cache::TargetCache;
