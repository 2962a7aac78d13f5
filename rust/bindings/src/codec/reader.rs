//! Reads msgpack from the segments of a value. Where the segments end has no meaning: bytes are read across.
//!
//! Invariant: nothing is reserved for bytes that did not arrive. Every item takes at least one byte, so the items that
//! all open containers still wait for (`owed`) can never be more than the bytes that are left.

use super::failure::{Coded, Failure};
use super::format::{ALIGNMENT, OUT_OF_BAND_BYTES};
use bytes::{Buf, Bytes, BytesMut};
use mpreg_types::Payload;
use std::borrow::Cow;

/// An array keeps all of the segment alive that it was cut from: one that is less than this part of it is copied.
const PINNED_SHARE: usize = 4;

/// A stretch of the value, and what may be done with its memory.
enum Segment<'a> {
    Borrowed(&'a [u8]),
    Shared(Bytes),
    /// Nobody else has it: parts of it can be given away as writable memory.
    Owned {
        bytes: BytesMut,
        /// Its length when it came.
        whole: usize,
    },
}

impl Segment<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
            Self::Owned { bytes, .. } => bytes,
        }
    }
}

/// See the module.
pub(super) struct Reader<'a> {
    current: Segment<'a>,
    position: usize,
    rest: std::vec::IntoIter<Bytes>,
    left: usize,
    owed: usize,
}

impl<'a> Reader<'a> {
    /// Reads a value that need not be kept.
    pub(super) fn borrowed(bytes: &'a [u8]) -> Self {
        Self {
            current: Segment::Borrowed(bytes),
            position: 0,
            rest: Vec::new().into_iter(),
            left: bytes.len(),
            owed: 0,
        }
    }

    /// Reads a value whose memory may go on living in the objects made from it.
    pub(super) fn new(payload: Payload) -> Self {
        let left = payload.len();
        Self { current: claim(payload.head), position: 0, rest: payload.tail.into_iter(), left, owed: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// A container with `count` items begins.
    #[inline]
    pub(super) fn promise(&mut self, count: usize) -> Coded<()> {
        match self.owed.checked_add(count) {
            Some(owed) if owed <= self.left => {
                self.owed = owed;
                Ok(())
            }
            _ => Err(truncated()),
        }
    }

    /// The next item of a container begins.
    #[inline]
    pub(super) fn keep_promise(&mut self) {
        self.owed = self.owed.saturating_sub(1);
    }

    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        match self.current.bytes().get(self.position) {
            Some(&byte) => Some(byte),
            None => self.advance().then(|| self.current.bytes()[self.position]),
        }
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Coded<u8> {
        match self.current.bytes().get(self.position) {
            Some(&byte) => {
                self.position += 1;
                self.left -= 1;
                Ok(byte)
            }
            None => self.array().map(|[byte]| byte),
        }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Coded<[u8; N]> {
        if let Some(bytes) =
            self.current.bytes().get(self.position..).and_then(|bytes| bytes.first_chunk::<N>())
        {
            let bytes = *bytes;
            self.position += N;
            self.left -= N;
            return Ok(bytes);
        }
        let mut bytes = [0; N];
        self.copy_to(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `count` bytes, in place if they lie in one segment.
    #[inline]
    pub(super) fn slice(&mut self, count: usize) -> Coded<Cow<'_, [u8]>> {
        let start = self.position;
        // Asked twice: a borrow that is returned may not overlap the other way.
        if count <= self.current.bytes().len() - start {
            self.position += count;
            self.left -= count;
            return Ok(Cow::Borrowed(&self.current.bytes()[start..start + count]));
        }
        self.check(count)?;
        let mut bytes = Vec::with_capacity(count);
        self.gather(count, |part, _| bytes.extend_from_slice(part))?;
        Ok(Cow::Owned(bytes))
    }

    /// The next `count` bytes lie in one segment.
    pub(super) fn is_in_place(&self, count: usize) -> bool {
        count <= self.current.bytes().len() - self.position
    }

    /// Fills `place` with the next bytes.
    pub(super) fn copy_to(&mut self, place: &mut [u8]) -> Coded<()> {
        self.gather(place.len(), |part, at| {
            if let Some(place) = place.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
        })
    }

    /// The next `count` bytes as memory of their own, aligned: the memory they arrived in if nobody else has it.
    pub(super) fn memory(&mut self, count: usize, alignment: usize) -> Coded<BytesMut> {
        self.check(count)?;
        if count > OUT_OF_BAND_BYTES
            && let Some(memory) = self.cut(count, alignment)
        {
            return Ok(memory);
        }
        let mut memory = BytesMut::with_capacity(count + ALIGNMENT);
        let skip = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        memory.resize(skip, 0);
        self.gather(count, |part, _| memory.extend_from_slice(part))?;
        memory.advance(skip);
        Ok(memory)
    }

    fn cut(&mut self, count: usize, alignment: usize) -> Option<BytesMut> {
        while self.position == self.current.bytes().len() && self.advance() {}
        let bytes = self.current.bytes().get(self.position..self.position + count)?;
        let is_aligned = bytes.as_ptr().align_offset(alignment.clamp(1, ALIGNMENT).next_power_of_two()) == 0;
        match &mut self.current {
            Segment::Owned { bytes, whole } if is_aligned && count >= *whole / PINNED_SHARE => {
                bytes.advance(self.position);
                self.position = 0;
                self.left -= count;
                Some(bytes.split_to(count))
            }
            _ => None,
        }
    }

    pub(super) fn check(&self, count: usize) -> Coded<()> {
        if count <= self.left { Ok(()) } else { Err(truncated()) }
    }

    /// Hands out the next `count` bytes piece by piece, with the offset of each.
    fn gather(&mut self, count: usize, mut take: impl FnMut(&[u8], usize)) -> Coded<()> {
        self.check(count)?;
        let mut done = 0;
        while done < count {
            let bytes = &self.current.bytes()[self.position..];
            let part = bytes.len().min(count - done);
            take(&bytes[..part], done);
            self.position += part;
            self.left -= part;
            done += part;
            if done < count && !self.advance() {
                return Err(truncated());
            }
        }
        Ok(())
    }

    /// Goes on to the next segment that is not empty, once this one is used up.
    #[cold]
    fn advance(&mut self) -> bool {
        while self.position == self.current.bytes().len() {
            let Some(next) = self.rest.next() else { return false };
            self.current = claim(next);
            self.position = 0;
        }
        true
    }
}

/// Small segments are not worth it, and shared ones are somebody else's.
fn claim<'a>(bytes: Bytes) -> Segment<'a> {
    if bytes.len() <= OUT_OF_BAND_BYTES {
        return Segment::Shared(bytes);
    }
    match bytes.try_into_mut() {
        Ok(bytes) => Segment::Owned { whole: bytes.len(), bytes },
        Err(shared) => Segment::Shared(shared),
    }
}

#[cold]
fn truncated() -> Box<Failure> {
    Failure::decode("the bytes end in the middle of a value")
}
