use bytes::Bytes;
use mpreg_types::{CallExtras, CallHead, CallId, ClusterId, HopBudget, Incarnation, NodeId};

use super::graph::{decode_step_call, encode_step_call};
use super::pack;
use super::target::encode_target;
use super::unpack::Unpack;
use crate::{DecodeError, TargetCache};

/// Longest `metadata=` of a call, encoded.
pub const METADATA_BYTES_MAX: usize = 4 * 1024;
/// Longest text among the extras of a call: who sends it on adds to them, and it still has to fit a frame.
pub const EXTRA_TEXT_BYTES_MAX: usize = 1024;
/// Most clusters on a path.
pub const PATH_MAX: usize = 16;

const CALL_FIELDS: usize = 11;
const EXTRAS_FIELDS: usize = 9;
/// Longest encoding of everything in a call without extras, the target's bytes left out.
const PLAIN_BYTES_MAX: usize = 96;

/// One start of a process, as one end of a connection knows the other from the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Which process.
    pub node: NodeId,
    /// Which start of it.
    pub incarnation: Incarnation,
}

/// Appends the metadata of a call that `sender` (this process) sends. Allocates at most to grow `out`, and for the
/// first use of a target.
///
/// A call of the sender's own does not repeat the 16 bytes that the receiver knows from the handshake.
pub fn encode_call(head: &CallHead, sender: Process, out: &mut Vec<u8>) {
    let target = head.target.encoded_with(encode_target);
    out.reserve(PLAIN_BYTES_MAX + target.len());
    pack::array(CALL_FIELDS, out);
    pack::uint(head.token, out);
    let CallId { origin: node, incarnation, sequence } = head.call;
    if sender == (Process { node, incarnation }) {
        pack::nil(out);
    } else {
        pack::array(2, out);
        pack::bin(node.as_bytes(), out);
        pack::uint(incarnation.0, out);
    }
    pack::uint(sequence, out);
    pack::uint(head.attempt.into(), out);
    pack::micros(head.remaining, out);
    pack::uint(head.value_bytes, out);
    pack::uint(head.hops_left.left().into(), out);
    pack::uint(head.forwards.into(), out);
    pack::bool(head.stream, out);
    pack::bin(target, out);
    match &head.extras {
        None => pack::nil(out),
        Some(extras) => encode_extras(extras, out),
    }
}

fn encode_extras(extras: &CallExtras, out: &mut Vec<u8>) {
    let text = |text: &Option<String>, out: &mut Vec<u8>| match text {
        Some(text) => pack::text(text, out),
        None => pack::nil(out),
    };
    pack::array(EXTRAS_FIELDS, out);
    pack::path(&extras.path, out);
    match &extras.pinned_exit {
        Some(node) => pack::bin(node.as_bytes(), out),
        None => pack::nil(out),
    }
    text(&extras.client, out);
    text(&extras.trace, out);
    match &extras.metadata {
        Some(metadata) => pack::bin(metadata, out),
        None => pack::nil(out),
    }
    text(&extras.idempotency_key, out);
    pack::bool(extras.tell_node, out);
    match extras.sticky {
        Some(sticky) => pack::uint(sticky, out),
        None => pack::nil(out),
    }
    match &extras.step {
        Some(step) => encode_step_call(step, out),
        None => pack::nil(out),
    }
}

/// Reads what [`encode_call`] wrote; `peer` sent it. Without extras and with a target that `targets` knows it does
/// not allocate.
pub fn decode_call(meta: &[u8], peer: Process, targets: &mut TargetCache) -> Result<CallHead, DecodeError> {
    let mut unpack = Unpack::new(meta);
    let newer = unpack.record(CALL_FIELDS, "call")?;
    let token = unpack.uint("token")?;
    let origin = unpack.optional(decode_origin)?.unwrap_or(peer);
    let head = CallHead {
        token,
        call: CallId {
            origin: origin.node,
            incarnation: origin.incarnation,
            sequence: unpack.uint("sequence")?,
        },
        attempt: unpack.small("attempt")?,
        remaining: unpack.micros("remaining time")?,
        value_bytes: unpack.uint("length of the value")?,
        hops_left: HopBudget::new(unpack.small("hops left")?)?,
        forwards: unpack.small("forwards")?,
        stream: unpack.bool("stream")?,
        target: targets.get(unpack.bin("target")?)?,
        extras: unpack.optional(decode_extras)?.map(Box::new),
    };
    unpack.skip(newer)?;
    unpack.end()?;
    Ok(head)
}

fn decode_origin(unpack: &mut Unpack<'_>) -> Result<Process, DecodeError> {
    let newer = unpack.record(2, "origin")?;
    let node = NodeId::from_bytes(unpack.id("node id")?);
    let incarnation = Incarnation(unpack.uint("incarnation")?);
    unpack.skip(newer)?;
    Ok(Process { node, incarnation })
}

fn decode_extras(unpack: &mut Unpack<'_>) -> Result<CallExtras, DecodeError> {
    let text = |unpack: &mut Unpack<'_>, field| unpack.optional(|unpack| decode_text(unpack, field));
    let newer = unpack.record(EXTRAS_FIELDS, "extras")?;
    let extras = CallExtras {
        path: decode_path(unpack)?,
        pinned_exit: unpack.optional(|unpack| unpack.id("pinned exit"))?.map(NodeId::from_bytes),
        client: text(unpack, "client")?,
        trace: text(unpack, "trace")?,
        metadata: unpack.optional(decode_metadata)?,
        idempotency_key: text(unpack, "idempotency key")?,
        tell_node: unpack.bool("tell node")?,
        sticky: unpack.optional(|unpack| unpack.uint("sticky"))?,
        step: unpack.optional(decode_step_call)?,
    };
    unpack.skip(newer)?;
    Ok(extras)
}

fn decode_text(unpack: &mut Unpack<'_>, field: &'static str) -> Result<String, DecodeError> {
    let text = unpack.text(field)?;
    if text.len() > EXTRA_TEXT_BYTES_MAX {
        return Err(DecodeError::TooMany { field, count: text.len(), max: EXTRA_TEXT_BYTES_MAX });
    }
    Ok(text.to_owned())
}

fn decode_metadata(unpack: &mut Unpack<'_>) -> Result<Bytes, DecodeError> {
    let metadata = unpack.bin("metadata")?;
    if metadata.len() > METADATA_BYTES_MAX {
        let (field, count) = ("metadata bytes", metadata.len());
        return Err(DecodeError::TooMany { field, count, max: METADATA_BYTES_MAX });
    }
    Ok(Bytes::copy_from_slice(metadata))
}

/// Clusters walked; of calls and of replies.
pub(super) fn decode_path(unpack: &mut Unpack<'_>) -> Result<Vec<ClusterId>, DecodeError> {
    unpack.list("clusters on the path", PATH_MAX, |unpack| Ok(ClusterId::parse(unpack.text("cluster")?)?))
}
