use mpreg_types::{Executed, ForeignText, Ledger, Load, NodeId, ReplyExtras, ReplyHead};

use super::call::decode_path;
use super::pack;
use super::unpack::Unpack;
use crate::{DecodeError, message};

const REPLY_FIELDS: usize = 6;
const EXTRAS_FIELDS: usize = 7;
const LEDGER_FIELDS: usize = 6;
/// Longest encoding of a reply without extras.
const PLAIN_BYTES_MAX: usize = 32;

/// Appends the metadata of a reply. Allocates at most to grow `out`.
pub fn encode_reply(head: &ReplyHead, out: &mut Vec<u8>) {
    out.reserve(PLAIN_BYTES_MAX);
    pack::array(REPLY_FIELDS, out);
    pack::uint(head.token, out);
    pack::bool(head.ok, out);
    pack::uint(executed_number(head.executed), out);
    pack::uint(head.value_bytes, out);
    match head.load {
        None => pack::nil(out),
        Some(Load { in_flight, queued }) => {
            pack::array(2, out);
            pack::uint(in_flight.into(), out);
            pack::uint(queued.into(), out);
        }
    }
    match &head.extras {
        None => pack::nil(out),
        Some(extras) => encode_extras(extras, out),
    }
}

fn encode_extras(extras: &ReplyExtras, out: &mut Vec<u8>) {
    pack::array(EXTRAS_FIELDS, out);
    match &extras.node {
        Some(node) => pack::bin(node.as_bytes(), out),
        None => pack::nil(out),
    }
    match extras.retry_after {
        Some(wait) => pack::micros(wait, out),
        None => pack::nil(out),
    }
    pack::path(&extras.path, out);
    match &extras.ledger {
        None => pack::nil(out),
        Some(ledger) => {
            let Ledger { queue_us, wire_us, interpreter_us, loop_us, handler_us, children_us } = *ledger;
            pack::array(LEDGER_FIELDS, out);
            for stage in [queue_us, wire_us, interpreter_us, loop_us, handler_us, children_us] {
                pack::uint(stage, out);
            }
        }
    }
    pack::bool(extras.idempotent, out);
    match &extras.label {
        Some(label) => pack::text(label.as_str(), out),
        None => pack::nil(out),
    }
    match &extras.held {
        Some(held) => pack::bin(&message::encode(held), out),
        None => pack::nil(out),
    }
}

/// Reads what [`encode_reply`] wrote. Without extras it does not allocate.
pub fn decode_reply(meta: &[u8]) -> Result<ReplyHead, DecodeError> {
    let mut unpack = Unpack::new(meta);
    let newer = unpack.record(REPLY_FIELDS, "reply")?;
    let head = ReplyHead {
        token: unpack.uint("token")?,
        ok: unpack.bool("ok")?,
        executed: decode_executed(&mut unpack)?,
        value_bytes: unpack.uint("length of the value")?,
        load: unpack.optional(decode_load)?,
        extras: unpack.optional(decode_extras)?.map(Box::new),
    };
    unpack.skip(newer)?;
    unpack.end()?;
    Ok(head)
}

const fn executed_number(executed: Executed) -> u64 {
    match executed {
        Executed::No => 0,
        Executed::Yes => 1,
        Executed::Unknown => 2,
    }
}

fn decode_executed(unpack: &mut Unpack<'_>) -> Result<Executed, DecodeError> {
    match unpack.uint("executed")? {
        0 => Ok(Executed::No),
        1 => Ok(Executed::Yes),
        2 => Ok(Executed::Unknown),
        value => Err(DecodeError::OutOfRange { field: "executed", value }),
    }
}

fn decode_load(unpack: &mut Unpack<'_>) -> Result<Load, DecodeError> {
    let newer = unpack.record(2, "load")?;
    let load = Load { in_flight: unpack.small("calls running")?, queued: unpack.small("calls waiting")? };
    unpack.skip(newer)?;
    Ok(load)
}

fn decode_extras(unpack: &mut Unpack<'_>) -> Result<ReplyExtras, DecodeError> {
    let newer = unpack.record(EXTRAS_FIELDS, "extras")?;
    let extras = ReplyExtras {
        node: unpack.optional(|unpack| unpack.id("node id"))?.map(NodeId::from_bytes),
        retry_after: unpack.optional(|unpack| unpack.micros("time to retry"))?,
        path: decode_path(unpack)?,
        ledger: unpack.optional(decode_ledger)?,
        idempotent: unpack.bool("idempotent")?,
        label: unpack.optional(|unpack| unpack.text("label").map(ForeignText::new))?,
        held: unpack.optional(|unpack| message::decode(unpack.bin("held result")?))?,
    };
    unpack.skip(newer)?;
    Ok(extras)
}

fn decode_ledger(unpack: &mut Unpack<'_>) -> Result<Ledger, DecodeError> {
    let newer = unpack.record(LEDGER_FIELDS, "ledger")?;
    let mut stage = || unpack.uint("microseconds");
    let ledger = Ledger {
        queue_us: stage()?,
        wire_us: stage()?,
        interpreter_us: stage()?,
        loop_us: stage()?,
        handler_us: stage()?,
        children_us: stage()?,
    };
    unpack.skip(newer)?;
    Ok(ledger)
}
