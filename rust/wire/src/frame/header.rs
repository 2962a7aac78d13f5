use mpreg_types::StreamId;

use crate::{FrameError, FrameFlags, FrameKind};

/// Length of a frame header.
pub const HEADER_BYTES: usize = 16;

/// The first 16 bytes of a frame, all numbers big-endian:
/// `u32 length` (metadata + payload) · `u8 kind` · `u8 flags` · `u16 metadata bytes` · `u64 stream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes after the header: metadata and payload.
    pub length: u32,
    /// What the frame is.
    pub kind: FrameKind,
    /// What follows, or that nothing follows.
    pub flags: FrameFlags,
    /// How many of the first bytes after the header are metadata.
    pub meta_bytes: u16,
    /// Which call it belongs to; 0 for the connection as a whole.
    pub stream: StreamId,
}

impl FrameHeader {
    /// The header for metadata and payload of these lengths, or why there is none.
    pub fn new(
        kind: FrameKind,
        flags: FrameFlags,
        stream: StreamId,
        meta_bytes: usize,
        payload_bytes: usize,
    ) -> Result<Self, FrameError> {
        let meta = u16::try_from(meta_bytes).map_err(|_| FrameError::MetaTooLarge { meta_bytes })?;
        let length = meta_bytes as u64 + payload_bytes as u64;
        let max = u64::from(u32::MAX);
        let length = u32::try_from(length).map_err(|_| FrameError::TooLarge { length, max })?;
        let header = Self { length, kind, flags, meta_bytes: meta, stream };
        header.check()?;
        Ok(header)
    }

    /// The header of a frame without metadata, flags and stream.
    pub fn control(kind: FrameKind, payload_bytes: usize) -> Result<Self, FrameError> {
        Self::new(kind, FrameFlags::NONE, StreamId(0), 0, payload_bytes)
    }

    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(&self.length.to_be_bytes());
        out[4] = self.kind.byte();
        out[5] = self.flags.byte();
        out[6..8].copy_from_slice(&self.meta_bytes.to_be_bytes());
        out[8..].copy_from_slice(&self.stream.0.to_be_bytes());
        out
    }

    /// From its bytes; all parts fit each other.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, kind, flags, m0, m1, stream @ ..] = *bytes;
        let header = Self {
            length: u32::from_be_bytes([l0, l1, l2, l3]),
            kind: FrameKind::from_byte(kind).ok_or(FrameError::UnknownKind(kind))?,
            flags: FrameFlags::from_byte(flags),
            meta_bytes: u16::from_be_bytes([m0, m1]),
            stream: StreamId(u64::from_be_bytes(stream)),
        };
        header.check()?;
        Ok(header)
    }

    /// The declared length, before anything else of the header is looked at.
    pub(crate) fn declared_length(bytes: &[u8; HEADER_BYTES]) -> u32 {
        let [l0, l1, l2, l3, ..] = *bytes;
        u32::from_be_bytes([l0, l1, l2, l3])
    }

    fn check(&self) -> Result<(), FrameError> {
        let Self { length, kind, flags, meta_bytes, stream } = *self;
        if !flags.fit(kind) {
            Err(FrameError::BadFlags { kind, flags })
        } else if u32::from(meta_bytes) > length || (meta_bytes > 0 && !kind.has_meta()) {
            Err(FrameError::BadMeta { kind, meta_bytes, length })
        } else if stream.0 == 0 && kind.needs_stream() {
            Err(FrameError::NoStream(kind))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(meta: usize, payload: usize) -> Result<FrameHeader, FrameError> {
        FrameHeader::new(FrameKind::Call, FrameFlags::MORE, StreamId(7), meta, payload)
    }

    #[test]
    fn decodes_to_what_was_encoded() {
        let header = call(3, 9).unwrap();
        assert_eq!(header.length, 12);
        assert_eq!(FrameHeader::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn lengths_beyond_their_fields_have_no_header() {
        assert_eq!(call(65_536, 0), Err(FrameError::MetaTooLarge { meta_bytes: 65_536 }));
        let length = u64::from(u32::MAX) + 1;
        assert_eq!(
            call(1, u32::MAX as usize),
            Err(FrameError::TooLarge { length, max: u64::from(u32::MAX) })
        );
    }

    #[test]
    fn parts_that_do_not_fit_each_other_are_refused() {
        let good = call(3, 9).unwrap();
        let bad = |change: fn(&mut [u8; HEADER_BYTES])| {
            let mut bytes = good.encode();
            change(&mut bytes);
            FrameHeader::decode(&bytes)
        };
        assert_eq!(bad(|b| b[4] = 200), Err(FrameError::UnknownKind(200)));
        let flags = FrameFlags::LAST;
        assert_eq!(bad(|b| b[5] = 2), Err(FrameError::BadFlags { kind: FrameKind::Call, flags }));
        let flags = FrameFlags::from_byte(0x80);
        assert_eq!(bad(|b| b[5] = 0x80), Err(FrameError::BadFlags { kind: FrameKind::Call, flags }));
        assert!(matches!(bad(|b| b[7] = 13), Err(FrameError::BadMeta { meta_bytes: 13, length: 12, .. })));
        assert_eq!(bad(|b| b[15] = 0), Err(FrameError::NoStream(FrameKind::Call)));
        let meta_on_control = |b: &mut [u8; HEADER_BYTES]| (b[4], b[5]) = (FrameKind::Ping.byte(), 0);
        assert!(matches!(bad(meta_on_control), Err(FrameError::BadMeta { kind: FrameKind::Ping, .. })));
    }
}
