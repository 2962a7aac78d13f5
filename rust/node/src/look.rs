//! Views of the mesh: the questions clients ask their entry node, and the bytes they travel as.
//!
//! A node answers its own callers from the same room, so a node's and a client's view cannot differ in form. Answers
//! may be longer than a frame: they travel in parts, each marked whether more follow.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mpreg_types::{ErrorBody, ErrorCode, Executed, Target};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::error::NodeError;

/// Bytes of an answer in one frame.
const PART_BYTES: usize = 60 * 1024;
/// Longest answer a client takes.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Marks of a part.
const LAST: u8 = 0;
const MORE: u8 = 1;

/// What a client asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Which view.
    pub(crate) verb: String,
    /// Its parameters, encoded.
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
    /// How long the asker waits.
    pub(crate) timeout_ms: u64,
}

/// The answer: a value, or an error.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Value(ByteBuf),
    Error { body: ErrorBody, executed: Executed },
}

pub(crate) fn encode_question(verb: &str, body: &[u8], timeout: Duration) -> Vec<u8> {
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    mpreg_wire::message::encode(&Question { verb: verb.to_owned(), body: body.to_vec(), timeout_ms })
}

pub(crate) fn decode_question(payload: &[u8]) -> Result<Question, NodeError> {
    mpreg_wire::message::decode(payload).map_err(|error| NodeError::new(ErrorCode::Decode, error.to_string()))
}

/// An answer as the payloads of its frames.
pub(crate) fn encode_answer(answer: Result<Bytes, NodeError>) -> Vec<Vec<u8>> {
    let answer = match answer {
        Ok(value) => Answer::Value(ByteBuf::from(value.to_vec())),
        Err(error) => Answer::Error { body: *error.body, executed: error.executed },
    };
    let encoded = mpreg_wire::message::encode(&answer);
    let parts = encoded.chunks(PART_BYTES);
    let last = parts.len().saturating_sub(1);
    let mark = |(index, part): (usize, &[u8])| {
        let mut payload = vec![if index == last { LAST } else { MORE }];
        payload.extend_from_slice(part);
        payload
    };
    parts.enumerate().map(mark).collect()
}

/// Collects the parts of one answer.
#[derive(Debug, Default)]
pub(crate) struct AnswerParts(BytesMut);

impl AnswerParts {
    /// Adds a part; the answer, once it is whole.
    pub(crate) fn add(&mut self, payload: &[u8]) -> Option<Result<Bytes, NodeError>> {
        let broken = |why: &str| {
            Some(Err(NodeError::new(ErrorCode::Decode, format!("the entry node's answer {why}"))))
        };
        let Some((mark, part)) = payload.split_first() else { return broken("is empty") };
        if self.0.len() + part.len() > ANSWER_BYTES_MAX {
            return broken("is longer than 64 MiB: ask for less, as by a narrower pattern");
        }
        self.0.extend_from_slice(part);
        if *mark == MORE {
            return None;
        }
        Some(match mpreg_wire::message::decode(&self.0) {
            Ok(Answer::Value(value)) => Ok(Bytes::from(value.into_vec())),
            Ok(Answer::Error { body, executed }) => Err(NodeError { body: Box::new(body), executed }),
            Err(error) => Err(NodeError::new(ErrorCode::Decode, error.to_string())),
        })
    }
}

/// One candidate of a `candidates` answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CandidateRow {
    /// The node as users see it.
    pub node: String,
    /// The target that names exactly it.
    pub target: Target,
}

/// The question for the candidates of `target`.
pub fn encode_candidates_request(target: &Target) -> Bytes {
    mpreg_wire::message::encode(target).into()
}

/// Reads the answer to it.
pub fn decode_candidates(answer: &[u8]) -> Result<Vec<CandidateRow>, NodeError> {
    mpreg_wire::message::decode(answer).map_err(|error| NodeError::new(ErrorCode::Decode, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_longer_than_a_frame_arrives_whole() {
        let value = Bytes::from(vec![7; 3 * PART_BYTES]);
        let frames = encode_answer(Ok(value.clone()));
        assert!(frames.len() > 3 && frames.iter().all(|frame| frame.len() <= PART_BYTES + 1));
        let mut parts = AnswerParts::default();
        let (last, first) = frames.split_last().unwrap();
        assert!(first.iter().all(|frame| parts.add(frame).is_none()));
        assert_eq!(parts.add(last).unwrap().unwrap(), value);
    }

    #[test]
    fn an_error_arrives_as_it_was() {
        let frames = encode_answer(Err(NodeError::config("no such verb")));
        let error = AnswerParts::default().add(&frames[0]).unwrap().unwrap_err();
        assert_eq!((error.body.code, error.to_string()), (ErrorCode::Config, "no such verb".to_owned()));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(AnswerParts::default().add(&[]).unwrap().is_err());
        assert!(AnswerParts::default().add(&[LAST, 0xff]).unwrap().is_err());
    }
}
