use std::time::Duration;

use rmp::Marker;

use crate::DecodeError;
use crate::message::{NESTING_MAX, first_value_bytes};

/// Reads `MessagePack` values off the front of a slice, borrowing from it. Every answer names the field it is about.
pub(super) struct Unpack<'a> {
    bytes: &'a [u8],
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Unpack<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Nothing may be left.
    #[inline]
    pub(super) fn end(&self) -> Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { bytes: self.bytes.len() }) }
    }

    /// Takes a nil if one stands there.
    #[inline]
    pub(super) fn take_nil(&mut self) -> bool {
        self.take_if(Marker::Null)
    }

    /// Takes a true if one stands there.
    #[inline]
    pub(super) fn take_true(&mut self) -> bool {
        self.take_if(Marker::True)
    }

    /// Nil as `None`, anything else as `read` sees it.
    #[inline]
    pub(super) fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.take_nil() { Ok(None) } else { read(self).map(Some) }
    }

    #[inline]
    pub(super) fn bool(&mut self, field: &'static str) -> Result<bool> {
        match self.marker(field)? {
            Marker::True => Ok(true),
            Marker::False => Ok(false),
            other => Err(wrong(field, other)),
        }
    }

    #[inline]
    pub(super) fn uint(&mut self, field: &'static str) -> Result<u64> {
        match self.bytes.split_first() {
            // Most numbers are small.
            Some((&first, rest)) if first < 0x80 => {
                self.bytes = rest;
                Ok(first.into())
            }
            _ => self.large_uint(field),
        }
    }

    fn large_uint(&mut self, field: &'static str) -> Result<u64> {
        match self.marker(field)? {
            Marker::U8 => Ok(u8::from_be_bytes(self.fixed(field)?).into()),
            Marker::U16 => Ok(u16::from_be_bytes(self.fixed(field)?).into()),
            Marker::U32 => Ok(u32::from_be_bytes(self.fixed(field)?).into()),
            Marker::U64 => Ok(u64::from_be_bytes(self.fixed(field)?)),
            other => Err(wrong(field, other)),
        }
    }

    /// An unsigned number that must fit into `T`.
    #[inline]
    pub(super) fn small<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T> {
        let value = self.uint(field)?;
        T::try_from(value).map_err(|_| DecodeError::OutOfRange { field, value })
    }

    #[inline]
    pub(super) fn micros(&mut self, field: &'static str) -> Result<Duration> {
        self.uint(field).map(Duration::from_micros)
    }

    #[inline]
    pub(super) fn bin(&mut self, field: &'static str) -> Result<&'a [u8]> {
        let len = match self.marker(field)? {
            Marker::Bin8 => u8::from_be_bytes(self.fixed(field)?).into(),
            Marker::Bin16 => u16::from_be_bytes(self.fixed(field)?).into(),
            Marker::Bin32 => u32::from_be_bytes(self.fixed(field)?),
            other => return Err(wrong(field, other)),
        };
        self.take(len as usize, field)
    }

    /// A binary of exactly `N` bytes.
    #[inline]
    pub(super) fn id<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let bytes = self.bin(field)?;
        bytes.try_into().map_err(|_| DecodeError::OutOfRange { field, value: bytes.len() as u64 })
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str> {
        let len = match self.marker(field)? {
            Marker::FixStr(len) => len.into(),
            Marker::Str8 => u8::from_be_bytes(self.fixed(field)?).into(),
            Marker::Str16 => u16::from_be_bytes(self.fixed(field)?).into(),
            Marker::Str32 => u32::from_be_bytes(self.fixed(field)?),
            other => return Err(wrong(field, other)),
        };
        str::from_utf8(self.take(len as usize, field)?).map_err(|_| DecodeError::NotText { field })
    }

    /// The count of an array whose elements should follow; nobody may reserve by it.
    #[inline]
    pub(super) fn array(&mut self, field: &'static str) -> Result<usize> {
        let count = match self.marker(field)? {
            Marker::FixArray(count) => count.into(),
            Marker::Array16 => u16::from_be_bytes(self.fixed(field)?).into(),
            Marker::Array32 => u32::from_be_bytes(self.fixed(field)?),
            other => return Err(wrong(field, other)),
        };
        Ok(count as usize)
    }

    /// Enters an array with at least `known` elements; says how many more a newer version has appended.
    #[inline]
    pub(super) fn record(&mut self, known: usize, field: &'static str) -> Result<usize> {
        let count = self.array(field)?;
        count.checked_sub(known).ok_or(DecodeError::OutOfRange { field, value: count as u64 })
    }

    /// An array of at most `max` elements, each read by `read`.
    pub(super) fn list<T, L: FromIterator<T>>(
        &mut self,
        field: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<L> {
        let count = self.array(field)?;
        if count > max {
            return Err(DecodeError::TooMany { field, count, max });
        }
        (0..count).map(|_| read(self)).collect()
    }

    /// Skips `count` values of whatever kind.
    pub(super) fn skip(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let len = first_value_bytes(self.bytes, NESTING_MAX)?;
            self.bytes = &self.bytes[len..];
        }
        Ok(())
    }

    #[inline]
    fn take_if(&mut self, marker: Marker) -> bool {
        match self.bytes.split_first() {
            Some((&first, rest)) if first == marker.to_u8() => {
                self.bytes = rest;
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn marker(&mut self, field: &'static str) -> Result<Marker> {
        let (&first, rest) = self.bytes.split_first().ok_or(DecodeError::Truncated { field })?;
        self.bytes = rest;
        Ok(Marker::from_u8(first))
    }

    #[inline]
    fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let (head, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Truncated { field })?;
        self.bytes = rest;
        Ok(*head)
    }

    #[inline]
    fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or(DecodeError::Truncated { field })?;
        self.bytes = rest;
        Ok(head)
    }
}

#[cold]
fn wrong(field: &'static str, marker: Marker) -> DecodeError {
    DecodeError::WrongType { field, marker: marker.to_u8() }
}
