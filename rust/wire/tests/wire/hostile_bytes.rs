//! Arbitrary and damaged bytes: every decoder answers with a value or a typed error.

use std::collections::BTreeMap;

use crate::strategies::{self, fixed};
use bytes::BytesMut;
use mpreg_types::{ErrorBody, ErrorCode, Incarnation, NodeId, Signed, StreamId};
use mpreg_wire::handshake::Refusal;
use mpreg_wire::{
    DecodeError, FrameError, FrameFlags, FrameHeader, FrameKind, HEADER_BYTES, Limits, NESTING_MAX, Process,
    TargetCache, cut_frame, decode_call, decode_credit, decode_reply, decode_started, decode_target,
    encode_call, encode_reply, message,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

const ME: Process = Process { node: NodeId::from_bytes([1; 16]), incarnation: Incarnation(11) };

/// Something of everything that messages are made of; nests without end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tree {
    name: String,
    numbers: Vec<u64>,
    #[serde(default)]
    map: BTreeMap<u32, Option<bool>>,
    #[serde(default)]
    children: Vec<Tree>,
}

fn tree() -> impl Strategy<Value = Tree> {
    let map = proptest::collection::btree_map(any::<u32>(), any::<Option<bool>>(), 0..4);
    let leaf = (".{0,40}", vec(any::<u64>(), 0..20), map).prop_map(|(name, numbers, map)| Tree {
        name,
        numbers,
        map,
        children: Vec::new(),
    });
    leaf.prop_recursive(4, 24, 4, |inner| {
        (inner.clone(), vec(inner, 0..4)).prop_map(|(root, children)| Tree { children, ..root })
    })
}

fn decode_all(bytes: &[u8]) {
    let _ = decode_call(bytes, ME, &mut TargetCache::new());
    let _ = decode_reply(bytes);
    let _ = decode_target(bytes);
    let _ = decode_credit(bytes);
    let _ = decode_started(bytes);
    let _ = Refusal::decode(bytes);
    let _ = message::decode::<Tree>(bytes);
    let _ = message::decode::<Signed>(bytes);
    let _ = message::decode::<ErrorBody>(bytes);
    let _ = cut_frame(&mut BytesMut::from(bytes), 1024);
}

proptest! {
    #![proptest_config(fixed(2048))]

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..400)) {
        decode_all(&bytes);
    }

    #[test]
    fn no_msgpack_like_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        // Mostly container markers, ids and small numbers: what gets past the first check.
        let begins = [0x00, 0x80, 0x90, 0xa0, 0xc0, 0xd0];
        let bytes: Vec<u8> = bytes.iter().map(|byte| begins[usize::from(byte % 6)] | (byte >> 4)).collect();
        decode_all(&bytes);
    }
}

proptest! {
    #![proptest_config(fixed(256))]

    #[test]
    fn no_damage_to_a_call_makes_a_decoder_panic(
        head in strategies::call(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut meta = Vec::new();
        encode_call(&head, ME, &mut meta);
        for (at, byte) in damage {
            let at = at.index(meta.len());
            meta[at] = byte;
        }
        decode_all(&meta);
    }

    #[test]
    fn no_damage_to_a_reply_makes_a_decoder_panic(
        head in strategies::reply(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut meta = Vec::new();
        encode_reply(&head, &mut meta);
        for (at, byte) in damage {
            let at = at.index(meta.len());
            meta[at] = byte;
        }
        decode_all(&meta);
    }

    #[test]
    fn any_message_comes_out_as_it_went_in(tree in tree()) {
        prop_assert_eq!(message::decode::<Tree>(&message::encode(&tree)).unwrap(), tree);
    }

    #[test]
    fn frames_come_out_the_same_however_the_bytes_arrive(
        frames in vec((1_u64..9, vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..200)), 0..8),
        cuts in vec(1_usize..60, 1..40),
    ) {
        let mut stream = Vec::new();
        for (id, meta, payload) in &frames {
            let kind = FrameKind::Reply;
            let header = FrameHeader::new(kind, FrameFlags::NONE, StreamId(*id), meta.len(), payload.len()).unwrap();
            stream.extend_from_slice(&header.encode());
            stream.extend_from_slice(meta);
            stream.extend_from_slice(payload);
        }
        let (mut buffer, mut cut, mut at) = (BytesMut::new(), Vec::new(), 0);
        for step in cuts.iter().cycle() {
            let end = (at + step).min(stream.len());
            buffer.extend_from_slice(&stream[at..end]);
            at = end;
            while let Some(frame) = cut_frame(&mut buffer, 1024).unwrap() {
                cut.push((frame.header.stream.0, frame.meta().to_vec(), frame.payload().to_vec()));
            }
            if at == stream.len() {
                break;
            }
        }
        prop_assert_eq!(cut, frames);
        prop_assert!(buffer.is_empty());
    }
}

proptest! {
    // Few cases: each tries every length.
    #![proptest_config(fixed(16))]

    #[test]
    fn a_message_that_ends_early_is_no_message(tree in tree()) {
        let bytes = message::encode(&tree);
        for end in 0..bytes.len() {
            prop_assert!(message::decode::<Tree>(&bytes[..end]).is_err());
        }
    }
}

#[test]
fn a_declared_length_beyond_the_bytes_is_refused_before_anything_is_reserved() {
    // Counts of 4 billion in five bytes, for each container that a message can begin with.
    let truncated = Err(DecodeError::Truncated { field: "a message" });
    assert_eq!(message::decode::<Vec<u64>>(&[0xdd, 0xff, 0xff, 0xff, 0xff]), truncated);
    assert_eq!(message::decode::<Vec<u64>>(&[0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]), truncated);
    let map = message::decode::<BTreeMap<u8, u8>>(&[0xdf, 0xff, 0xff, 0xff, 0xff, 1, 1]);
    assert_eq!(map, Err(DecodeError::Truncated { field: "a message" }));
    let text = message::decode::<String>(&[0xdb, 0xff, 0xff, 0xff, 0xff, b'a']);
    assert_eq!(text, Err(DecodeError::Truncated { field: "a message" }));
    // The same inside a call: its target says 4 GiB.
    let call = [0x9b, 1, 0xc0, 1, 1, 1, 1, 1, 0, 0xc2, 0xc6, 0xff, 0xff, 0xff, 0xff, 0, 0xc0];
    let error = decode_call(&call, ME, &mut TargetCache::new()).unwrap_err();
    assert_eq!(error, DecodeError::Truncated { field: "target" });
    // And a frame that says 4 GiB leaves its reader's buffer as it is.
    let mut head = [0xff; HEADER_BYTES];
    head[4..].copy_from_slice(&[FrameKind::Chunk.byte(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let mut buffer = BytesMut::from(&head[..]);
    let capacity = buffer.capacity();
    let max = Limits::FRAME_BYTES_MIN;
    let refused = FrameError::TooLarge { length: u64::from(u32::MAX), max: max.into() };
    assert_eq!(cut_frame(&mut buffer, max), Err(refused));
    assert_eq!(buffer.capacity(), capacity);
    // One that stays within the limit waits for its bytes without room being made for them.
    buffer[..4].copy_from_slice(&max.to_be_bytes());
    assert_eq!(cut_frame(&mut buffer, max), Ok(None));
    assert_eq!(buffer.capacity(), capacity);
}

#[test]
fn nesting_beyond_the_limit_is_refused_without_recursion() {
    let deep = |levels| [vec![0x91; levels], vec![0xc0]].concat();
    let error = message::decode::<Tree>(&deep(1_000_000)).unwrap_err();
    assert_eq!(error, DecodeError::TooDeep { max: NESTING_MAX });
    // Also where a call hides it: as an element of a newer version.
    let mut call = Vec::new();
    let head = mpreg_types::ReplyHead::ok(1, 2);
    encode_reply(&head, &mut call);
    call[0] += 1;
    assert_eq!(decode_reply(&[&call[..], &deep(NESTING_MAX)].concat()), Ok(head));
    let error = decode_reply(&[&call[..], &deep(NESTING_MAX + 1)].concat()).unwrap_err();
    assert_eq!(error, DecodeError::TooDeep { max: NESTING_MAX });
}

#[test]
fn fields_of_a_newer_version_are_skipped_and_missing_ones_filled_in() {
    #[derive(Serialize)]
    struct Newer {
        name: &'static str,
        colour: Option<u8>,
        numbers: [u64; 2],
    }
    let bytes = message::encode(&Newer { name: "n", colour: Some(1), numbers: [1, 2] });
    let tree: Tree = message::decode(&bytes).unwrap();
    assert_eq!((tree.name.as_str(), tree.numbers), ("n", vec![1, 2]));
}

#[test]
fn bytes_after_a_message_and_other_shapes_are_refused() {
    let body = message::encode(&ErrorBody::new(ErrorCode::Internal, "x"));
    let trailing = [&body[..], &[0]].concat();
    assert_eq!(message::decode::<ErrorBody>(&trailing), Err(DecodeError::Trailing { bytes: 1 }));
    let DecodeError::Shape { why } =
        message::decode::<ErrorCode>(&message::encode(&"x\x1b".repeat(1000))).unwrap_err()
    else {
        panic!("a text is no error code");
    };
    assert!(why.chars().count() <= 200, "shortened");
    assert!(!why.contains('\x1b'), "escaped");
}
