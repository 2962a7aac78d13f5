//! Writes msgpack into a growing buffer; large buffers become segments beside it.
//!
//! Invariant: the segments one after the other are one well-formed msgpack value (or, for arguments, up to two).

use super::failure::{Coded, Failure, Kind};
use super::format::{ALIGNMENT, EXT_TAG, OUT_OF_BAND_BYTES};
use bytes::Bytes;
use mpreg_types::Payload;

/// A header has at most 9 bytes (marker and 64 bits).
const HEADER_BYTES: usize = 9;
/// What a fresh buffer starts with.
const START_BYTES: usize = 512;

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    buffer: Vec<u8>,
    segments: Vec<Bytes>,
    segment_bytes: usize,
    limit: usize,
}

impl Writer {
    /// `buffer` is empty; it comes from the scratch and goes back there.
    pub(super) fn new(buffer: Vec<u8>, limit: usize) -> Self {
        debug_assert!(buffer.is_empty());
        Self { buffer, segments: Vec::new(), segment_bytes: 0, limit }
    }

    /// The value, and the buffer to use again.
    pub(super) fn finish(mut self) -> (Payload, Vec<u8>) {
        let last = self.take_buffer();
        if self.segments.is_empty() {
            return (Payload::from(last), self.buffer);
        }
        if !last.is_empty() {
            self.segments.push(last);
        }
        let mut segments = self.segments.into_iter();
        (Payload { head: segments.next().unwrap_or_default(), tail: segments.collect() }, self.buffer)
    }

    /// What was written since the last segment. Little is copied, so that the buffer can be used again.
    fn take_buffer(&mut self) -> Bytes {
        if self.buffer.len() > OUT_OF_BAND_BYTES {
            return Bytes::from(std::mem::take(&mut self.buffer));
        }
        let bytes = Bytes::copy_from_slice(&self.buffer);
        self.buffer.clear();
        bytes
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.segment_bytes + self.buffer.len()
    }

    /// Room for `count` more bytes; checks the limit only when the buffer must grow, and for each segment.
    #[inline]
    fn reserve(&mut self, count: usize) -> Coded<()> {
        if self.buffer.capacity() - self.buffer.len() >= count { Ok(()) } else { self.grow(count) }
    }

    #[cold]
    fn grow(&mut self, count: usize) -> Coded<()> {
        self.check(count)?;
        self.buffer.reserve(count.max(START_BYTES));
        Ok(())
    }

    fn check(&self, more: usize) -> Coded<()> {
        let size = self.len().saturating_add(more);
        if size <= self.limit {
            return Ok(());
        }
        let limit = self.limit;
        let message =
            format!("larger than {limit} bytes (`max_value_bytes`); send it in parts, or raise the limit");
        Err(Failure::new(Kind::TooLarge, message))
    }

    #[inline]
    fn header<const N: usize>(&mut self, marker: u8, rest: [u8; N]) -> Coded<()> {
        self.reserve(HEADER_BYTES)?;
        self.buffer.push(marker);
        self.buffer.extend_from_slice(&rest);
        Ok(())
    }

    #[inline]
    fn marker(&mut self, marker: u8) -> Coded<()> {
        self.reserve(HEADER_BYTES)?;
        self.buffer.push(marker);
        Ok(())
    }

    #[inline]
    pub(super) fn nil(&mut self) -> Coded<()> {
        self.marker(0xc0)
    }

    #[inline]
    pub(super) fn boolean(&mut self, value: bool) -> Coded<()> {
        self.marker(0xc2 | u8::from(value))
    }

    #[inline]
    pub(super) fn int(&mut self, value: i64) -> Coded<()> {
        // Each arm is the smallest form that holds the value.
        if let Ok(value) = u64::try_from(value) {
            self.uint(value)
        } else if value >= -32 {
            self.marker(value.to_le_bytes()[0])
        } else if let Ok(value) = i8::try_from(value) {
            self.header(0xd0, value.to_be_bytes())
        } else if let Ok(value) = i16::try_from(value) {
            self.header(0xd1, value.to_be_bytes())
        } else if let Ok(value) = i32::try_from(value) {
            self.header(0xd2, value.to_be_bytes())
        } else {
            self.header(0xd3, value.to_be_bytes())
        }
    }

    #[inline]
    pub(super) fn uint(&mut self, value: u64) -> Coded<()> {
        if value < 128 {
            self.marker(value.to_le_bytes()[0])
        } else if let Ok(value) = u8::try_from(value) {
            self.header(0xcc, [value])
        } else if let Ok(value) = u16::try_from(value) {
            self.header(0xcd, value.to_be_bytes())
        } else if let Ok(value) = u32::try_from(value) {
            self.header(0xce, value.to_be_bytes())
        } else {
            self.header(0xcf, value.to_be_bytes())
        }
    }

    #[inline]
    pub(super) fn float(&mut self, value: f64) -> Coded<()> {
        self.header(0xcb, value.to_be_bytes())
    }

    /// Writes the header of a value with a 32-bit length; `fix` is (first marker, largest count) of the short form.
    #[inline]
    fn sized(&mut self, count: usize, fix: (u8, usize), wide: [Option<u8>; 3]) -> Coded<()> {
        if count < fix.1 {
            return self.marker(fix.0 | count.to_le_bytes()[0]);
        }
        if let (Some(marker), Ok(count)) = (wide[0], u8::try_from(count)) {
            return self.header(marker, [count]);
        }
        if let (Some(marker), Ok(count)) = (wide[1], u16::try_from(count)) {
            return self.header(marker, count.to_be_bytes());
        }
        if let (Some(marker), Ok(count)) = (wide[2], u32::try_from(count)) {
            return self.header(marker, count.to_be_bytes());
        }
        Err(Failure::new(Kind::TooLarge, "more than 4294967295 bytes or items in one value"))
    }

    #[inline]
    pub(super) fn array(&mut self, count: usize) -> Coded<()> {
        self.sized(count, (0x90, 16), [None, Some(0xdc), Some(0xdd)])
    }

    #[inline]
    pub(super) fn map(&mut self, count: usize) -> Coded<()> {
        self.sized(count, (0x80, 16), [None, Some(0xde), Some(0xdf)])
    }

    /// An array of `count` elements that is something else than a list.
    #[inline]
    pub(super) fn tagged(&mut self, tag: u8, count: usize) -> Coded<()> {
        self.array(count.saturating_add(1))?;
        self.header(0xd4, [EXT_TAG.to_be_bytes()[0], tag])
    }

    #[inline]
    pub(super) fn str_header(&mut self, count: usize) -> Coded<()> {
        self.sized(count, (0xa0, 32), [Some(0xd9), Some(0xda), Some(0xdb)])
    }

    #[inline]
    pub(super) fn bin_header(&mut self, count: usize) -> Coded<()> {
        self.sized(count, (0, 0), [Some(0xc4), Some(0xc5), Some(0xc6)])
    }

    #[inline]
    pub(super) fn text(&mut self, text: &str) -> Coded<()> {
        self.reserve(HEADER_BYTES + text.len())?;
        self.str_header(text.len())?;
        self.raw(text.as_bytes())
    }

    #[inline]
    pub(super) fn bin(&mut self, bytes: &[u8]) -> Coded<()> {
        self.bin_header(bytes.len())?;
        self.raw(bytes)
    }

    pub(super) fn ext(&mut self, code: i8, bytes: &[u8]) -> Coded<()> {
        let fixed = match bytes.len() {
            1 => Some(0xd4),
            2 => Some(0xd5),
            4 => Some(0xd6),
            8 => Some(0xd7),
            16 => Some(0xd8),
            _ => None,
        };
        match fixed {
            Some(marker) => self.marker(marker)?,
            None => self.sized(bytes.len(), (0, 0), [Some(0xc7), Some(0xc8), Some(0xc9)])?,
        }
        self.marker(code.to_be_bytes()[0])?;
        self.raw(bytes)
    }

    /// Bytes whose header was written.
    #[inline]
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Coded<()> {
        self.reserve(bytes.len())?;
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Bytes whose header was written, as a segment: they are not copied.
    pub(super) fn segment(&mut self, bytes: Bytes) -> Coded<()> {
        self.check(bytes.len())?;
        if !self.buffer.is_empty() {
            let before = self.take_buffer();
            self.segment_bytes += before.len();
            self.segments.push(before);
        }
        self.segment_bytes += bytes.len();
        self.segments.push(bytes);
        Ok(())
    }

    /// Padding, so that the data of a large array whose `bin` comes next is aligned where the value lies in one piece.
    pub(super) fn padding(&mut self, data_bytes: usize) -> Coded<()> {
        const BIN32_HEADER: usize = 5;
        const PAD_HEADER: usize = 2;
        let start = self.len() + PAD_HEADER + BIN32_HEADER;
        let pad = if data_bytes > OUT_OF_BAND_BYTES { start.next_multiple_of(ALIGNMENT) - start } else { 0 };
        self.bin(&[0; ALIGNMENT][..pad])
    }

    /// The buffer itself, for one who copies into it (at most `OUT_OF_BAND_BYTES`).
    pub(super) fn buffer(&mut self, count: usize) -> Coded<&mut Vec<u8>> {
        self.reserve(count)?;
        Ok(&mut self.buffer)
    }

    /// Asked before something large is copied.
    pub(super) fn check_room(&self, count: usize) -> Coded<()> {
        self.check(count)
    }

    /// The limit holds for the whole.
    pub(super) fn check_total(&self) -> Coded<()> {
        self.check(0)
    }
}
