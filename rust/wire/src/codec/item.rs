use mpreg_types::ItemHead;

use crate::{FrameError, FrameFlags, FrameHeader, FrameKind};

/// Appends the metadata of an item: the token, and the length of a value that follows in chunks. Eight bytes, because a
/// stream may have millions of them.
pub fn encode_item(head: &ItemHead, in_chunks: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&head.token.to_be_bytes());
    if in_chunks {
        out.extend_from_slice(&head.value_bytes.to_be_bytes());
    }
}

/// Reads what [`encode_item`] wrote; `header` says how the value comes.
pub fn decode_item(header: &FrameHeader, meta: &[u8]) -> Result<ItemHead, FrameError> {
    let bad = FrameError::BadPayload { kind: FrameKind::Item, bytes: meta.len() };
    let (numbers, rest) = meta.as_chunks::<8>();
    match (numbers, header.flags.contains(FrameFlags::MORE)) {
        ([token, length], true) if rest.is_empty() => {
            Ok(ItemHead { token: u64::from_be_bytes(*token), value_bytes: u64::from_be_bytes(*length) })
        }
        ([token], false) if rest.is_empty() => {
            let value_bytes = u64::from(header.length) - meta.len() as u64;
            Ok(ItemHead { token: u64::from_be_bytes(*token), value_bytes })
        }
        _ => Err(bad),
    }
}

#[cfg(test)]
mod tests {
    use mpreg_types::StreamId;

    use super::*;

    fn read(flags: FrameFlags, meta: &[u8], payload: usize) -> Result<ItemHead, FrameError> {
        let header = FrameHeader::new(FrameKind::Item, flags, StreamId(1), meta.len(), payload).unwrap();
        decode_item(&header, meta)
    }

    #[test]
    fn an_item_names_its_call_and_its_length() {
        let head = ItemHead { token: 7, value_bytes: 70_000 };
        let (mut small, mut large) = (Vec::new(), Vec::new());
        encode_item(&head, false, &mut small);
        encode_item(&head, true, &mut large);
        assert_eq!(read(FrameFlags::NONE, &small, 3), Ok(ItemHead { token: 7, value_bytes: 3 }));
        assert_eq!(read(FrameFlags::MORE, &large, 0), Ok(head));
    }

    #[test]
    fn metadata_of_another_length_is_refused() {
        for (flags, bytes) in
            [(FrameFlags::NONE, 16), (FrameFlags::MORE, 8), (FrameFlags::NONE, 0), (FrameFlags::NONE, 9)]
        {
            let refused = FrameError::BadPayload { kind: FrameKind::Item, bytes };
            assert_eq!(read(flags, &vec![0; bytes], 1), Err(refused));
        }
    }
}
