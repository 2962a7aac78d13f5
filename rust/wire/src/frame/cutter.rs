use bytes::{Buf, Bytes, BytesMut};

use crate::{FrameError, FrameHeader, HEADER_BYTES};

/// One whole frame as it came, without a copy: header, and metadata and payload in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: FrameHeader,
    body: Bytes,
}

impl Frame {
    /// Its metadata; empty unless it is a call or reply.
    pub fn meta(&self) -> &[u8] {
        let end = usize::from(self.header.meta_bytes).min(self.body.len());
        &self.body[..end]
    }

    /// Its payload, borrowed.
    pub fn payload(&self) -> &[u8] {
        let start = usize::from(self.header.meta_bytes).min(self.body.len());
        &self.body[start..]
    }

    /// Its payload, still sharing memory with the buffer it was read into.
    pub fn into_payload(mut self) -> Bytes {
        let start = usize::from(self.header.meta_bytes).min(self.body.len());
        self.body.advance(start);
        self.body
    }
}

/// Cuts the next whole frame off the front of `buffer`; `None` while it is not all there yet.
///
/// A declared length above `max_frame_bytes` (metadata and payload) is refused as soon as the header can be read,
/// before its kind is looked at: whatever speaks another protocol ends here. Nothing is reserved; the reader grows
/// `buffer` by what arrives. After an error `buffer` is unchanged and of no further use.
pub fn cut_frame(buffer: &mut BytesMut, max_frame_bytes: u32) -> Result<Option<Frame>, FrameError> {
    let Some(head) = buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = FrameHeader::declared_length(head);
    if length > max_frame_bytes {
        return Err(FrameError::TooLarge { length: length.into(), max: max_frame_bytes.into() });
    }
    let header = FrameHeader::decode(head)?;
    let whole = HEADER_BYTES + header.length as usize;
    if buffer.len() < whole {
        return Ok(None);
    }
    let mut body = buffer.split_to(whole).freeze();
    body.advance(HEADER_BYTES);
    Ok(Some(Frame { header, body }))
}

#[cfg(test)]
mod tests {
    use mpreg_types::StreamId;

    use super::*;
    use crate::{FrameFlags, FrameKind};

    const MAX: u32 = 1024;

    fn frame(meta: &[u8], payload: &[u8]) -> Vec<u8> {
        let (kind, flags) = (FrameKind::Call, FrameFlags::NONE);
        let header = FrameHeader::new(kind, flags, StreamId(1), meta.len(), payload.len()).unwrap();
        [&header.encode()[..], meta, payload].concat()
    }

    #[test]
    fn a_frame_comes_out_when_its_last_byte_is_in() {
        let bytes = frame(b"meta", b"payload");
        let mut buffer = BytesMut::new();
        for (index, byte) in bytes.iter().enumerate() {
            assert_eq!(cut_frame(&mut buffer, MAX), Ok(None), "after {index} bytes");
            buffer.extend_from_slice(&[*byte]);
        }
        let cut = cut_frame(&mut buffer, MAX).unwrap().unwrap();
        assert_eq!((cut.meta(), cut.payload()), (&b"meta"[..], &b"payload"[..]));
        assert_eq!(cut.into_payload(), b"payload"[..]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn frames_come_out_in_order_and_the_rest_stays() {
        let mut buffer = BytesMut::from(&[frame(b"1", b""), frame(b"2", b""), vec![0, 0]].concat()[..]);
        let metas: Vec<_> = std::iter::from_fn(|| cut_frame(&mut buffer, MAX).unwrap())
            .map(|frame| frame.meta().to_vec())
            .collect();
        assert_eq!(metas, [b"1", b"2"]);
        assert_eq!(buffer.len(), 2);
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_anything_is_reserved() {
        let mut buffer = BytesMut::from(&frame(b"", &[0; MAX as usize + 1])[..HEADER_BYTES]);
        let capacity = buffer.capacity();
        let refused = FrameError::TooLarge { length: u64::from(MAX) + 1, max: MAX.into() };
        assert_eq!(cut_frame(&mut buffer, MAX), Err(refused));
        assert_eq!(buffer.capacity(), capacity);
    }

    #[test]
    fn another_protocol_ends_at_its_first_bytes() {
        let mut buffer = BytesMut::from(&b"GET / HTTP/1.1\r\n"[..]);
        assert!(matches!(cut_frame(&mut buffer, MAX), Err(FrameError::TooLarge { .. })));
    }
}
