//! A graph and its answer as values of a call: the length of what describes them (u32, big endian), that, and the
//! encoded values one after another. Nothing of the values is copied or looked at.

use bytes::Bytes;
use mpreg_types::{CallGraph, ErrorBody, ErrorCode, GraphAnswer, GraphEvent, GraphFailure, Payload};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{codec, message};

/// Length of the length.
const PREFIX_BYTES: usize = 4;

/// Longest description of a graph that is read, its steps' arguments left out: reading takes time and memory before
/// anything can be counted.
pub(crate) const GRAPH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A graph with the arguments of its steps, in order.
pub fn encode_graph(graph: &CallGraph, arguments: impl IntoIterator<Item = Payload>) -> Payload {
    let mut described = Vec::new();
    codec::graph::encode_graph(graph, &mut described);
    framed(&described, arguments)
}

/// Reads what [`encode_graph`] wrote: the graph, and the arguments of all its steps in one piece.
pub fn decode_graph(value: &Payload) -> Result<(CallGraph, Payload), Box<ErrorBody>> {
    let (described, arguments) = split(value)?;
    if described.len() > GRAPH_BYTES_MAX {
        let text = format!(
            "the steps of the graph take {} bytes to describe, arguments left out, more than {GRAPH_BYTES_MAX}; run it \
             in parts, or give it less metadata",
            described.len()
        );
        return Err(Box::new(ErrorBody::new(ErrorCode::Graph, text)));
    }
    let graph =
        codec::graph::decode_graph(&joined(&described)).map_err(|error| unreadable(&error.to_string()))?;
    Ok((graph, arguments))
}

/// An answer with its values, in order.
pub fn encode_answer(answer: &GraphAnswer, values: impl IntoIterator<Item = Payload>) -> Payload {
    encode(answer, values)
}

/// Reads the answer to a graph: what is said of it, and each wanted value as it was encoded by the step that made it.
pub fn decode_answer(value: &Payload) -> Result<(GraphAnswer, Vec<Payload>), Box<ErrorBody>> {
    let (described, values) = split(value)?;
    let answer: GraphAnswer = read(&described)?;
    let mut from = 0_usize;
    let mut cut = Vec::with_capacity(answer.values.len());
    for length in &answer.values {
        let to = usize::try_from(*length).ok().and_then(|length| from.checked_add(length));
        let to = to.filter(|to| *to <= values.len()).ok_or_else(|| unreadable("a value is cut short"))?;
        cut.push(values.slice(from, to));
        from = to;
    }
    Ok((answer, cut))
}

/// An event of a graph, with the value of the step that has finished, if it is to travel.
pub fn encode_event(event: &GraphEvent, value: Option<Payload>) -> Payload {
    encode(event, value)
}

/// Reads what [`encode_event`] wrote. Every value has bytes, so nothing behind the event is no value.
pub fn decode_event(item: &Payload) -> Result<(GraphEvent, Option<Payload>), Box<ErrorBody>> {
    let (described, value) = split(item)?;
    Ok((read(&described)?, Some(value).filter(|value| !value.is_empty())))
}

/// The error that tells the caller of a graph why it failed.
pub fn encode_failure(failure: &GraphFailure) -> ErrorBody {
    let mut body = ErrorBody::new(ErrorCode::Graph, sentence(failure));
    body.data = Some(message::encode(failure).into());
    body
}

/// Which step made a graph fail, and how; `None` if the error is none of a step.
pub fn decode_failure(body: &ErrorBody) -> Option<GraphFailure> {
    let data = body.data.as_ref().filter(|_| body.code == ErrorCode::Graph)?;
    message::decode(data).ok()
}

fn sentence(failure: &GraphFailure) -> String {
    let GraphFailure { name, cause, node, .. } = failure;
    if failure.step.is_none() {
        return cause.message.as_str().to_owned();
    }
    let place = node.as_ref().map_or(String::new(), |node| format!(" on {}", node.as_str()));
    format!("step {}{place} failed: {}", name.as_str(), cause.message.as_str())
}

fn encode<T: Serialize>(what: &T, values: impl IntoIterator<Item = Payload>) -> Payload {
    framed(&message::encode(what), values)
}

fn framed(described: &[u8], values: impl IntoIterator<Item = Payload>) -> Payload {
    let length = u32::try_from(described.len()).unwrap_or(u32::MAX);
    let mut head = Vec::with_capacity(PREFIX_BYTES + described.len());
    head.extend_from_slice(&length.to_be_bytes());
    head.extend_from_slice(described);
    let values = values.into_iter().flat_map(|value| std::iter::once(value.head).chain(value.tail));
    std::iter::once(Bytes::from(head)).chain(values.filter(|segment| !segment.is_empty())).collect()
}

/// The bytes that describe, and the values behind them.
fn split(value: &Payload) -> Result<(Payload, Payload), Box<ErrorBody>> {
    let all = value.len();
    let prefix = joined(&value.slice(0, PREFIX_BYTES));
    let length = <[u8; PREFIX_BYTES]>::try_from(&prefix[..]).map(u32::from_be_bytes);
    let end = length.ok().and_then(|length| PREFIX_BYTES.checked_add(usize::try_from(length).ok()?));
    let end = end.filter(|end| *end <= all).ok_or_else(|| unreadable("it is cut short"))?;
    Ok((value.slice(PREFIX_BYTES, end), value.slice(end, all)))
}

fn read<T: DeserializeOwned>(described: &Payload) -> Result<T, Box<ErrorBody>> {
    message::decode(&joined(described)).map_err(|error| unreadable(&error.to_string()))
}

fn joined(value: &Payload) -> Bytes {
    if value.tail.is_empty() {
        return value.head.clone();
    }
    value.segments().flat_map(|segment| segment.iter().copied()).collect::<Vec<u8>>().into()
}

fn unreadable(why: &str) -> Box<ErrorBody> {
    let text = format!("the call graph cannot be read ({why}); do both sides have one version of mpreg?");
    Box::new(ErrorBody::new(ErrorCode::Decode, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_value_by_value_however_it_was_cut_on_the_way() {
        let values = [&b"first"[..], b"", b"third"].map(|value| Payload::from(Bytes::copy_from_slice(value)));
        let answer = GraphAnswer { values: vec![5, 0, 5], report: None, events: vec![] };
        let whole = joined(&encode_answer(&answer, values.clone()));
        for at in 0..whole.len() {
            let pieces = [whole.slice(..at), whole.slice(at..)].into_iter().collect();
            let (read, cut) = decode_answer(&pieces).unwrap();
            let cut: Vec<_> = cut.iter().map(joined).collect();
            assert_eq!((read, cut), (answer.clone(), values.iter().map(joined).collect()));
        }
    }

    #[test]
    fn an_event_comes_with_its_value_or_without_one() {
        let event = GraphEvent::Finished { step: 3, node: "eu/a/1".to_owned().into(), us: 7 };
        let value = Payload::from(Bytes::from_static(b"\xc0"));
        for value in [None, Some(value)] {
            assert_eq!(decode_event(&encode_event(&event, value.clone())), Ok((event.clone(), value)));
        }
    }

    #[test]
    fn a_description_without_end_is_not_even_read() {
        let bytes = u32::try_from(GRAPH_BYTES_MAX).unwrap() + 1;
        let value = [Bytes::copy_from_slice(&bytes.to_be_bytes()), vec![0xc1; GRAPH_BYTES_MAX + 1].into()];
        let refused = decode_graph(&value.into_iter().collect()).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Graph);
        assert!(refused.message.as_str().contains("run it in parts"), "{}", refused.message.as_str());
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let answer = GraphAnswer { values: vec![5], report: None, events: vec![] };
        let whole = joined(&encode_answer(&answer, [Payload::from(Bytes::from_static(b"first"))]));
        for end in 0..whole.len() {
            assert_eq!(decode_answer(&whole.slice(..end).into()).unwrap_err().code, ErrorCode::Decode);
        }
    }
}
