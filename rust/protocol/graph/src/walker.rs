//! Walks over msgpack without decoding it. The bytes may come from anybody: nothing is reserved for what they declare,
//! and no value makes the walk recurse.

use bytes::{Buf, Bytes};
use mpreg_types::Payload;

/// What stands at a place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    Nil,
    Bool,
    Int(i128),
    Float,
    /// Bytes of text follow.
    Text(usize),
    /// Bytes follow.
    Bin(usize),
    /// Items follow.
    Array(usize),
    /// Pairs follow.
    Map(usize),
    /// Code; bytes follow.
    Ext(i8, usize),
}

/// The bytes end in the middle of a value, or are no msgpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A place in a value.
#[derive(Debug, Clone)]
pub(crate) struct Walker<'a> {
    segments: Vec<&'a Bytes>,
    segment: usize,
    within: usize,
    /// Bytes from the start of the value.
    pub(crate) position: usize,
    left: usize,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(value: &'a Payload) -> Self {
        Self { segments: value.segments().collect(), segment: 0, within: 0, position: 0, left: value.len() }
    }

    /// The next bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut bytes = [0; N];
        self.copy_to(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn copy_to(&mut self, mut place: &mut [u8]) -> Result<(), Malformed> {
        while !place.is_empty() {
            let segment = *self.segments.get(self.segment).ok_or(Malformed)?;
            let mut rest = &segment[self.within..];
            let count = rest.len().min(place.len());
            rest.copy_to_slice(&mut place[..count]);
            self.advance(count)?;
            place = &mut place[count..];
        }
        Ok(())
    }

    /// Passes over `count` bytes.
    pub(crate) fn advance(&mut self, mut count: usize) -> Result<(), Malformed> {
        self.left = self.left.checked_sub(count).ok_or(Malformed)?;
        self.position += count;
        while count > 0 {
            let rest = self.segments[self.segment].len() - self.within;
            let step = rest.min(count);
            self.within += step;
            count -= step;
            if self.within == self.segments[self.segment].len() {
                (self.segment, self.within) = (self.segment + 1, 0);
            }
        }
        Ok(())
    }

    /// What stands here; the place moves to what follows the header.
    pub(crate) fn header(&mut self) -> Result<Header, Malformed> {
        let [marker] = self.bytes()?;
        Ok(match marker {
            0x00..=0x7f => Header::Int(marker.into()),
            0x80..=0x8f => Header::Map(usize::from(marker & 0x0f)),
            0x90..=0x9f => Header::Array(usize::from(marker & 0x0f)),
            0xa0..=0xbf => Header::Text(usize::from(marker & 0x1f)),
            0xc0 => Header::Nil,
            0xc1 => return Err(Malformed),
            0xc2 | 0xc3 => Header::Bool,
            0xc4..=0xc6 => Header::Bin(self.length(marker - 0xc4)?),
            0xc7..=0xc9 => {
                let length = self.length(marker - 0xc7)?;
                Header::Ext(self.code()?, length)
            }
            0xca => self.passed(4, Header::Float)?,
            0xcb => self.passed(8, Header::Float)?,
            0xcc => Header::Int(u8::from_be_bytes(self.bytes()?).into()),
            0xcd => Header::Int(u16::from_be_bytes(self.bytes()?).into()),
            0xce => Header::Int(u32::from_be_bytes(self.bytes()?).into()),
            0xcf => Header::Int(u64::from_be_bytes(self.bytes()?).into()),
            0xd0 => Header::Int(i8::from_be_bytes(self.bytes()?).into()),
            0xd1 => Header::Int(i16::from_be_bytes(self.bytes()?).into()),
            0xd2 => Header::Int(i32::from_be_bytes(self.bytes()?).into()),
            0xd3 => Header::Int(i64::from_be_bytes(self.bytes()?).into()),
            0xd4..=0xd8 => Header::Ext(self.code()?, 1 << (marker - 0xd4)),
            0xd9..=0xdb => Header::Text(self.length(marker - 0xd9)?),
            0xdc | 0xdd => Header::Array(self.length(marker - 0xdb)?),
            0xde | 0xdf => Header::Map(self.length(marker - 0xdd)?),
            0xe0..=0xff => Header::Int(i8::from_be_bytes([marker]).into()),
        })
    }

    /// Passes over what follows a header: one whole value with all it contains.
    pub(crate) fn pass(&mut self, header: Header) -> Result<(), Malformed> {
        let mut owed = self.inside(header)?;
        // Every item takes a byte at least, so a declared length ends where the bytes do.
        while owed > 0 {
            let header = self.header()?;
            owed = (owed - 1).checked_add(self.inside(header)?).ok_or(Malformed)?;
        }
        Ok(())
    }

    /// Passes over the next value.
    pub(crate) fn pass_value(&mut self) -> Result<(), Malformed> {
        let header = self.header()?;
        self.pass(header)
    }

    /// Passes over the bytes of a header; how many values it still contains.
    fn inside(&mut self, header: Header) -> Result<usize, Malformed> {
        match header {
            Header::Text(length) | Header::Bin(length) | Header::Ext(_, length) => {
                self.advance(length).map(|()| 0)
            }
            Header::Array(count) => Ok(count),
            Header::Map(count) => count.checked_mul(2).ok_or(Malformed),
            Header::Nil | Header::Bool | Header::Int(_) | Header::Float => Ok(0),
        }
    }

    fn passed(&mut self, count: usize, header: Header) -> Result<Header, Malformed> {
        self.advance(count).map(|()| header)
    }

    fn code(&mut self) -> Result<i8, Malformed> {
        self.bytes().map(i8::from_be_bytes)
    }

    /// A length of 1, 2 or 4 bytes.
    fn length(&mut self, width: u8) -> Result<usize, Malformed> {
        let length = match width {
            0 => u8::from_be_bytes(self.bytes()?).into(),
            1 => u16::from_be_bytes(self.bytes()?).into(),
            _ => u32::from_be_bytes(self.bytes()?),
        };
        usize::try_from(length).map_err(|_| Malformed)
    }
}
