//! foca's packets as bytes: fixed layout, big endian, no lengths, frozen by the golden bytes in the tests below.
//!
//! header = kind u8, source id, refutation u16, destination id, then for some kinds probe u8 or third id and probe u8;
//! id = node 16 bytes, incarnation u64, generation u32. A packet on the wire is exactly one header: the piggyback is
//! cut off before sending, because rows travel as [`crate::Message::News`], through one door with all its checks.

use bytes::{Buf, BufMut};
use foca::{Codec, Header, Member, Message, State};
use mpreg_types::{Incarnation, NodeId};
use thiserror::Error;

use crate::swim_id::SwimId;

/// Largest packet foca may build; only its buffer, since what is sent is a header.
pub(crate) const PACKET_BYTES_MAX: usize = 60_000;

const ID_BYTES: usize = 28;
const MEMBER_BYTES: usize = ID_BYTES + 3;

/// The bytes are no packet, or there is no room for one. No state changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CodecError {
    /// Fewer bytes, or less room, than the item takes.
    #[error("the packet ends early")]
    Short,
    /// A kind or state that does not exist.
    #[error("{0} is no kind of packet or state")]
    UnknownTag(u8),
    /// Bytes behind the header.
    #[error("bytes behind the header")]
    Trailing,
}

/// Writes and reads foca's headers and members.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SwimCodec;

/// Reads a packet as it travels: one header and nothing else.
pub(crate) fn decode_packet(mut bytes: &[u8]) -> Result<Header<SwimId>, CodecError> {
    let header = SwimCodec.decode_header(&mut bytes)?;
    if bytes.is_empty() { Ok(header) } else { Err(CodecError::Trailing) }
}

/// Splits what foca wants to send into its header and the length of that header.
pub(crate) fn split_packet(mut bytes: &[u8]) -> Result<(Header<SwimId>, usize), CodecError> {
    let whole = bytes.len();
    let header = SwimCodec.decode_header(&mut bytes)?;
    Ok((header, whole - bytes.len()))
}

fn take<const N: usize>(buf: &mut impl Buf) -> Result<[u8; N], CodecError> {
    let mut bytes = [0; N];
    buf.try_copy_to_slice(&mut bytes).map_err(|_| CodecError::Short)?;
    Ok(bytes)
}

fn put_id(id: &SwimId, buf: &mut impl BufMut) {
    buf.put_slice(id.node.as_bytes());
    buf.put_u64(id.incarnation.0);
    buf.put_u32(id.generation);
}

fn take_id(buf: &mut impl Buf) -> Result<SwimId, CodecError> {
    Ok(SwimId {
        node: NodeId::from_bytes(take(buf)?),
        incarnation: Incarnation(u64::from_be_bytes(take(buf)?)),
        generation: u32::from_be_bytes(take(buf)?),
    })
}

/// Tag, third id and probe number of a message.
fn parts(message: &Message<SwimId>) -> (u8, Option<&SwimId>, Option<u8>) {
    match message {
        Message::Ping(probe) => (1, None, Some(*probe)),
        Message::Ack(probe) => (2, None, Some(*probe)),
        Message::PingReq { target, probe_number } => (3, Some(target), Some(*probe_number)),
        Message::IndirectPing { origin, probe_number } => (4, Some(origin), Some(*probe_number)),
        Message::IndirectAck { target, probe_number } => (5, Some(target), Some(*probe_number)),
        Message::ForwardedAck { origin, probe_number } => (6, Some(origin), Some(*probe_number)),
        Message::Announce => (7, None, None),
        Message::Feed => (8, None, None),
        Message::Gossip => (9, None, None),
        Message::Broadcast => (10, None, None),
        Message::TurnUndead => (11, None, None),
    }
}

fn take_message(tag: u8, buf: &mut impl Buf) -> Result<Message<SwimId>, CodecError> {
    let probe = |buf: &mut _| take::<1>(buf).map(|[probe]| probe);
    Ok(match tag {
        1 => Message::Ping(probe(buf)?),
        2 => Message::Ack(probe(buf)?),
        3 => Message::PingReq { target: take_id(buf)?, probe_number: probe(buf)? },
        4 => Message::IndirectPing { origin: take_id(buf)?, probe_number: probe(buf)? },
        5 => Message::IndirectAck { target: take_id(buf)?, probe_number: probe(buf)? },
        6 => Message::ForwardedAck { origin: take_id(buf)?, probe_number: probe(buf)? },
        7 => Message::Announce,
        8 => Message::Feed,
        9 => Message::Gossip,
        10 => Message::Broadcast,
        11 => Message::TurnUndead,
        unknown => return Err(CodecError::UnknownTag(unknown)),
    })
}

impl Codec<SwimId> for SwimCodec {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<SwimId>, mut buf: impl BufMut) -> Result<(), CodecError> {
        let (tag, third, probe) = parts(&header.message);
        let bytes = 3 + 2 * ID_BYTES + third.map_or(0, |_| ID_BYTES) + probe.map_or(0, |_| 1);
        if buf.remaining_mut() < bytes {
            return Err(CodecError::Short);
        }
        buf.put_u8(tag);
        put_id(&header.src, &mut buf);
        buf.put_u16(header.src_incarnation);
        put_id(&header.dst, &mut buf);
        if let Some(third) = third {
            put_id(third, &mut buf);
        }
        if let Some(probe) = probe {
            buf.put_u8(probe);
        }
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<SwimId>, CodecError> {
        let [tag] = take(&mut buf)?;
        let src = take_id(&mut buf)?;
        let src_incarnation = u16::from_be_bytes(take(&mut buf)?);
        let dst = take_id(&mut buf)?;
        Ok(Header { src, src_incarnation, dst, message: take_message(tag, &mut buf)? })
    }

    fn encode_member(&mut self, member: &Member<SwimId>, mut buf: impl BufMut) -> Result<(), CodecError> {
        if buf.remaining_mut() < MEMBER_BYTES {
            return Err(CodecError::Short);
        }
        put_id(member.id(), &mut buf);
        buf.put_u16(member.incarnation());
        buf.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<SwimId>, CodecError> {
        let id = take_id(&mut buf)?;
        let refutation = u16::from_be_bytes(take(&mut buf)?);
        let state = match take(&mut buf)? {
            [0] => State::Alive,
            [1] => State::Suspect,
            [2] => State::Down,
            [unknown] => return Err(CodecError::UnknownTag(unknown)),
        };
        Ok(Member::new(id, refutation, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(byte: u8) -> SwimId {
        SwimId {
            node: NodeId::from_bytes([byte; 16]),
            incarnation: Incarnation(u64::from(byte) + 0x0100),
            generation: u32::from(byte),
        }
    }

    fn messages(third: SwimId, probe: u8) -> Vec<Message<SwimId>> {
        vec![
            Message::Ping(probe),
            Message::Ack(probe),
            Message::PingReq { target: third, probe_number: probe },
            Message::IndirectPing { origin: third, probe_number: probe },
            Message::IndirectAck { target: third, probe_number: probe },
            Message::ForwardedAck { origin: third, probe_number: probe },
            Message::Announce,
            Message::Feed,
            Message::Gossip,
            Message::Broadcast,
            Message::TurnUndead,
        ]
    }

    fn encoded(header: &Header<SwimId>) -> Vec<u8> {
        let mut bytes = Vec::new();
        SwimCodec.encode_header(header, &mut bytes).unwrap();
        bytes
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    #[test]
    fn golden_bytes_of_packets() {
        let source = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1".to_owned() + "00000000000001a1" + "000000a1";
        let target = "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2".to_owned() + "00000000000001b2" + "000000b2";
        let third = "c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3".to_owned() + "00000000000001c3" + "000000c3";
        let tails = ["07", "07", "+07", "+07", "+07", "+07", "", "", "", "", ""];
        for (index, message) in messages(id(0xc3), 7).into_iter().enumerate() {
            let header = Header { src: id(0xa1), src_incarnation: 0x0102, dst: id(0xb2), message };
            let bytes = encoded(&header);
            let tail = tails[index].replace('+', &third);
            assert_eq!(hex(&bytes), format!("{:02x}{source}0102{target}{tail}", index + 1));
            assert_eq!(decode_packet(&bytes), Ok(header));
        }
    }

    #[test]
    fn golden_bytes_of_members() {
        for (tag, state) in [State::Alive, State::Suspect, State::Down].into_iter().enumerate() {
            let member = Member::new(id(0xa1), 0x0203, state);
            let mut bytes = Vec::new();
            SwimCodec.encode_member(&member, &mut bytes).unwrap();
            let golden = format!("{}00000000000001a1000000a10203{tag:02x}", "a1".repeat(16));
            assert_eq!(hex(&bytes), golden);
            assert_eq!(SwimCodec.decode_member(&bytes[..]), Ok(member));
        }
    }

    #[test]
    fn no_room_leaves_the_buffer_clean() {
        let header = Header { src: id(1), src_incarnation: 0, dst: id(2), message: Message::Ping(0) };
        let mut bytes = Vec::new();
        assert_eq!(SwimCodec.encode_header(&header, (&mut bytes).limit(59)), Err(CodecError::Short));
        assert_eq!(
            SwimCodec.encode_member(&Member::alive(id(1)), (&mut bytes).limit(30)),
            Err(CodecError::Short)
        );
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_packet_with_a_tail_is_refused() {
        let header = Header { src: id(1), src_incarnation: 0, dst: id(2), message: Message::Ping(0) };
        let mut bytes = encoded(&header);
        bytes.push(0);
        assert_eq!(decode_packet(&bytes), Err(CodecError::Trailing));
        assert_eq!(split_packet(&bytes), Ok((header, bytes.len() - 1)));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_and_what_decodes_encodes_to_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(header) = decode_packet(&bytes) {
                prop_assert_eq!(encoded(&header), bytes);
            }
        }

        #[test]
        fn a_cut_packet_is_refused(kind in 0_usize..11, cut in 0_usize..59) {
            let message = messages(id(3), 9).swap_remove(kind);
            let bytes = encoded(&Header { src: id(1), src_incarnation: 1, dst: id(2), message });
            prop_assert_eq!(decode_packet(&bytes[..cut]), Err(CodecError::Short));
        }
    }
}
