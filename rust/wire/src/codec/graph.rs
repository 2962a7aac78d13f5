//! What is said of a call graph and of its steps, as bytes: written by hand like everything that a call carries, because a
//! graph of small steps is read and written as often as three calls.
//!
//! Graph: `[steps, wanted, report]`. Step: `[name, target, timeout us, retries, hops, metadata, length, inputs]`, input:
//! `[at, step, path]`, wanted value: `[step, path]`. Of a step's call: `[coordinator, incarnation, number, keep us, watched,
//! inputs]`. Paths and inputs that a callee fetches are rare, and stand as a message in a binary; nil if there are none.

use bytes::Bytes;
use mpreg_types::{
    CallGraph, ForeignText, GraphId, HeldInput, HopBudget, Incarnation, Input, NodeId, PathKey, Pick, Step,
    StepCall, Target,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::pack;
use super::target::{decode_target, encode_selector};
use super::unpack::Unpack;
use crate::{DecodeError, message};

const GRAPH_FIELDS: usize = 3;
const STEP_FIELDS: usize = 8;
const INPUT_FIELDS: usize = 3;
const PICK_FIELDS: usize = 2;
const STEP_CALL_FIELDS: usize = 6;

/// More are not even read; how many there may be is for the coordinator to say.
const STEPS_MAX: usize = 1 << 17;
const PICKS_MAX: usize = 1 << 20;

pub(crate) fn encode_graph(graph: &CallGraph, out: &mut Vec<u8>) {
    pack::array(GRAPH_FIELDS, out);
    pack::array(graph.steps.len(), out);
    let mut target = Vec::new();
    for step in &graph.steps {
        encode_step(step, &mut target, out);
    }
    pack::array(graph.wanted.len(), out);
    for pick in &graph.wanted {
        pack::array(PICK_FIELDS, out);
        encode_pick(pick, out);
    }
    pack::bool(graph.report, out);
}

/// Reads what [`encode_graph`] wrote.
pub(crate) fn decode_graph(bytes: &[u8]) -> Result<CallGraph, DecodeError> {
    let mut unpack = Unpack::new(bytes);
    let newer = unpack.record(GRAPH_FIELDS, "graph")?;
    let graph = CallGraph {
        steps: unpack.list("steps", STEPS_MAX, decode_step)?,
        wanted: unpack.list("wanted values", PICKS_MAX, |unpack| {
            let newer = unpack.record(PICK_FIELDS, "wanted value")?;
            let pick = decode_pick(unpack)?;
            unpack.skip(newer)?;
            Ok(pick)
        })?,
        report: unpack.bool("report")?,
    };
    unpack.skip(newer)?;
    unpack.end()?;
    Ok(graph)
}

fn encode_step(step: &Step, target: &mut Vec<u8>, out: &mut Vec<u8>) {
    pack::array(STEP_FIELDS, out);
    pack::text(step.name.as_str(), out);
    target.clear();
    encode_selector(&step.target, target);
    pack::bin(target, out);
    match step.timeout {
        Some(timeout) => pack::micros(timeout, out),
        None => pack::nil(out),
    }
    pack::uint(step.retries.into(), out);
    match step.max_hops {
        Some(hops) => pack::uint(hops.left().into(), out),
        None => pack::nil(out),
    }
    match &step.metadata {
        Some(metadata) => pack::bin(metadata, out),
        None => pack::nil(out),
    }
    pack::uint(step.value_bytes, out);
    pack::array(step.inputs.len(), out);
    for input in &step.inputs {
        pack::array(INPUT_FIELDS, out);
        pack::uint(input.at, out);
        encode_pick(&input.pick, out);
    }
}

fn decode_step(unpack: &mut Unpack<'_>) -> Result<Step, DecodeError> {
    let newer = unpack.record(STEP_FIELDS, "step")?;
    let name = ForeignText::new(unpack.text("name of a step")?);
    let Target::Select(target) = decode_target(unpack.bin("target of a step")?)? else {
        return Err(DecodeError::OutOfRange { field: "target of a step", value: 0 });
    };
    let step = Step {
        name,
        target,
        timeout: unpack.optional(|unpack| unpack.micros("timeout"))?,
        retries: unpack.small("retries")?,
        max_hops: unpack.optional(|unpack| Ok(HopBudget::new(unpack.small("hops")?)?))?,
        metadata: unpack.optional(|unpack| unpack.bin("metadata").map(Bytes::copy_from_slice))?,
        value_bytes: unpack.uint("length of arguments")?,
        inputs: unpack.list("references", PICKS_MAX, |unpack| {
            let newer = unpack.record(INPUT_FIELDS, "reference")?;
            let input = Input { at: unpack.uint("offset")?, pick: decode_pick(unpack)? };
            unpack.skip(newer)?;
            Ok(input)
        })?,
    };
    unpack.skip(newer)?;
    Ok(step)
}

fn encode_pick(pick: &Pick, out: &mut Vec<u8>) {
    pack::uint(pick.step.into(), out);
    encode_rare::<PathKey>(&pick.path, out);
}

fn decode_pick(unpack: &mut Unpack<'_>) -> Result<Pick, DecodeError> {
    Ok(Pick { step: unpack.small("step")?, path: decode_rare(unpack, "path")? })
}

/// What the call of a step says of its graph.
pub(super) fn encode_step_call(step: &StepCall, out: &mut Vec<u8>) {
    let StepCall { graph, keep, inputs, watched } = step;
    pack::array(STEP_CALL_FIELDS, out);
    pack::bin(graph.coordinator.as_bytes(), out);
    pack::uint(graph.incarnation.0, out);
    pack::uint(graph.number, out);
    match keep {
        Some(keep) => pack::micros(*keep, out),
        None => pack::nil(out),
    }
    pack::bool(*watched, out);
    encode_rare::<HeldInput>(inputs, out);
}

/// Reads what [`encode_step_call`] wrote.
pub(super) fn decode_step_call(unpack: &mut Unpack<'_>) -> Result<Box<StepCall>, DecodeError> {
    let newer = unpack.record(STEP_CALL_FIELDS, "step")?;
    let graph = GraphId {
        coordinator: NodeId::from_bytes(unpack.id("coordinator")?),
        incarnation: Incarnation(unpack.uint("incarnation")?),
        number: unpack.uint("number of the graph")?,
    };
    let keep = unpack.optional(|unpack| unpack.micros("keep"))?;
    let watched = unpack.bool("watched")?;
    let inputs = decode_rare(unpack, "inputs")?;
    unpack.skip(newer)?;
    Ok(Box::new(StepCall { graph, keep, inputs, watched }))
}

fn encode_rare<T: Serialize>(items: &[T], out: &mut Vec<u8>) {
    if items.is_empty() { pack::nil(out) } else { pack::bin(&message::encode(&items), out) }
}

fn decode_rare<T: DeserializeOwned>(
    unpack: &mut Unpack<'_>,
    field: &'static str,
) -> Result<Vec<T>, DecodeError> {
    let items = unpack.optional(|unpack| message::decode(unpack.bin(field)?))?;
    Ok(items.unwrap_or_default())
}
