//! Random graphs, what their steps compute, and what plain evaluation gives: one step after the other, no machine.

use std::time::Duration;

use bytes::Bytes;
use mpreg_graph::project;
use mpreg_types::{
    CallGraph, ForeignText, FunctionName, Input, PathKey, Payload, Pick, Selector, Step, Wanted,
};

use crate::World;

/// The functions of steps.
pub(crate) const STEP_ONCE: &str = "step.once";
pub(crate) const STEP_AGAIN: &str = "step.again";
/// Results over this length stay with their makers here, so that tiny ones do.
pub(crate) const INLINE_BYTES: usize = 64;

/// Steps of a graph at most.
const STEPS_MAX: u64 = 16;
/// What the arguments of every step begin with: the graph's number, the step's, and whether its result is large.
const HEAD_BYTES: usize = 8 + 4 + 1;
/// What makes a result large.
const PAD: [u8; 100] = [7; 100];

/// One random graph.
#[derive(Debug)]
pub(crate) struct GraphCase {
    pub(crate) graph: CallGraph,
    /// Arguments of its steps, one after another.
    pub(crate) arguments: Payload,
    /// What its caller must get.
    pub(crate) expected: Vec<Bytes>,
    /// Which steps may be executed again.
    pub(crate) idempotent: Vec<bool>,
}

impl GraphCase {
    /// The graph with that number, all else by chance.
    pub(crate) fn random(number: u64, world: &mut World) -> Self {
        let count = u32::try_from(1 + world.random(STEPS_MAX)).unwrap_or(1);
        let (mut steps, mut results, mut idempotent) = (Vec::new(), Vec::new(), Vec::new());
        let mut arguments = Vec::new();
        for index in 0..count {
            let mut template = Vec::with_capacity(HEAD_BYTES);
            template.extend_from_slice(&number.to_be_bytes());
            template.extend_from_slice(&index.to_be_bytes());
            template.push(u8::from(world.random(4) > 0));
            template.extend((0..world.random(4)).map(|filler| filler.to_be_bytes()[7]));
            let inputs = inputs(index, template.len(), world);
            let may_again = world.random(3) > 0;
            results.push(result(&plain_arguments(&template, &inputs, &results)));
            idempotent.push(may_again);
            let Ok(name) = FunctionName::parse(if may_again { STEP_AGAIN } else { STEP_ONCE }) else {
                continue;
            };
            steps.push(Step {
                name: ForeignText::new(format!("{number}/{index}")),
                target: Selector::new(Wanted::Name(name)),
                timeout: (world.random(2) == 0).then_some(Duration::from_millis(400)),
                retries: u8::try_from(world.random(4)).unwrap_or(0),
                max_hops: None,
                metadata: None,
                value_bytes: template.len() as u64,
                inputs,
            });
            arguments.push(Bytes::from(template));
        }
        let wanted: Vec<Pick> = (0..world.random(4)).map(|_| pick(count, world)).collect();
        let expected = wanted.iter().map(|pick| part(&results, pick)).collect();
        let graph = CallGraph { steps, wanted, report: world.random(2) == 0 };
        Self { graph, arguments: arguments.into_iter().collect(), expected, idempotent }
    }
}

/// Which graph and step the arguments are of; `None`: the call is no step.
pub(crate) fn step_of(arguments: &Payload) -> Option<(u64, usize)> {
    let bytes = flat(arguments);
    let number = u64::from_be_bytes(*bytes.first_chunk()?);
    let step = u32::from_be_bytes(*bytes.get(8..)?.first_chunk()?);
    Some((number, usize::try_from(step).ok()?))
}

/// What a step gives for its arguments: `{"n": sum, "rows": [step, [sum, !sum]], "pad": ...}`.
pub(crate) fn result(arguments: &Payload) -> Payload {
    let bytes = flat(arguments);
    let sum = bytes.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let (_, step) = step_of(arguments).unwrap_or_default();
    let pad = if bytes.get(HEAD_BYTES - 1) == Some(&1) { &PAD[..] } else { &[] };
    let mut out = vec![0x83, 0xa1, b'n'];
    put_number(sum, &mut out);
    out.extend_from_slice(b"\xa4rows\x92");
    put_number(step as u64, &mut out);
    out.push(0x92);
    put_number(sum, &mut out);
    put_number(!sum, &mut out);
    out.extend_from_slice(b"\xa3pad\xc4");
    out.push(u8::try_from(pad.len()).unwrap_or(0));
    out.extend_from_slice(pad);
    Bytes::from(out).into()
}

pub(crate) fn flat(value: &Payload) -> Bytes {
    value.segments().flat_map(|segment| segment.iter().copied()).collect::<Vec<u8>>().into()
}

fn put_number(number: u64, out: &mut Vec<u8>) {
    out.push(0xcf);
    out.extend_from_slice(&number.to_be_bytes());
}

/// References of a step to those before it, anywhere behind the head of its arguments.
fn inputs(index: u32, length: usize, world: &mut World) -> Vec<Input> {
    let count = if index == 0 { 0 } else { world.random(4) };
    let mut inputs: Vec<Input> = (0..count)
        .map(|_| {
            let at = HEAD_BYTES as u64 + world.random((length - HEAD_BYTES) as u64 + 1);
            Input { at, pick: pick(index, world) }
        })
        .collect();
    inputs.sort_by_key(|input| input.at);
    inputs
}

/// A part of one of the first `count` results.
fn pick(count: u32, world: &mut World) -> Pick {
    let field = |name: &str| PathKey::Name(name.to_owned());
    let step = u32::try_from(world.random(u64::from(count))).unwrap_or(0);
    let path = match world.random(5) {
        0 | 1 => vec![],
        2 => vec![field("n")],
        3 => vec![field("rows"), PathKey::Index(0)],
        _ => vec![field("rows"), PathKey::Index(-1)],
    };
    Pick { step, path }
}

fn plain_arguments(template: &[u8], inputs: &[Input], results: &[Payload]) -> Payload {
    let (mut all, mut taken) = (Vec::new(), 0);
    for input in inputs {
        let at = usize::try_from(input.at).unwrap_or(taken);
        all.extend_from_slice(&template[taken..at]);
        taken = at;
        all.extend_from_slice(&part(results, &input.pick));
    }
    all.extend_from_slice(&template[taken..]);
    Bytes::from(all).into()
}

fn part(results: &[Payload], pick: &Pick) -> Bytes {
    match project(&results[pick.step as usize], &pick.path) {
        Ok(part) => flat(&part),
        Err(missing) => unreachable!("every result has the parts that references name: {missing}"),
    }
}
