//! Msgpack to Python objects. The bytes may come from anybody: every length is checked before it is believed.
//!
//! Invariant: no bytes make it panic, run code of the user, or reserve more than a small multiple of what arrived.

use super::build::Builder;
use super::dtypes::DtypeCache;
use super::failure::{Coded, Failure, Kind};
use super::format::{EXT_TAG, NESTING, OUT_OF_BAND_BYTES, tag};
use super::integer;
use super::key_cache::{KEY_BYTES, KeyCache};
use super::reader::Reader;
use super::scratch::Scratch;
use super::text::{new_bytes, new_text};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PySet};

/// See the module.
pub(super) struct Decoder<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) reader: Reader<'a>,
    keys: &'a mut KeyCache,
    pub(super) dtypes: &'a mut DtypeCache,
    depth: usize,
}

impl<'a, 'py> Decoder<'a, 'py> {
    pub(super) fn new(py: Python<'py>, reader: Reader<'a>, scratch: &'a mut Scratch) -> Self {
        Self { py, reader, keys: &mut scratch.keys, dtypes: &mut scratch.dtypes, depth: 0 }
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Coded<()> {
        if self.reader.is_empty() {
            Ok(())
        } else {
            Err(Failure::decode("bytes follow the end of the value"))
        }
    }

    pub(super) fn failed(&self, error: PyErr) -> Box<Failure> {
        Failure::python(self.py, Kind::Decode, error)
    }

    /// The next value.
    #[inline]
    pub(super) fn value(&mut self) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        match self.reader.byte()? {
            small @ 0x00..=0x7f => integer::new_signed(py, i64::from(small)),
            fix @ 0x80..=0x8f => self.dict(usize::from(fix & 0x0f)),
            fix @ 0x90..=0x9f => self.list(usize::from(fix & 0x0f)),
            fix @ 0xa0..=0xbf => self.text(usize::from(fix & 0x1f)),
            0xc0 => Ok(py.None().into_bound(py)),
            marker @ (0xc2 | 0xc3) => Ok(PyBool::new(py, marker == 0xc3).to_owned().into_any()),
            0xca => Ok(PyFloat::new(py, f64::from(f32::from_be_bytes(self.reader.array()?))).into_any()),
            0xcb => Ok(PyFloat::new(py, f64::from_be_bytes(self.reader.array()?)).into_any()),
            0xcc => integer::new_signed(py, i64::from(self.reader.byte()?)),
            0xcd => integer::new_signed(py, i64::from(u16::from_be_bytes(self.reader.array()?))),
            0xce => integer::new_signed(py, i64::from(u32::from_be_bytes(self.reader.array()?))),
            0xcf => integer::new_unsigned(py, u64::from_be_bytes(self.reader.array()?)),
            0xd0 => integer::new_signed(py, i64::from(i8::from_be_bytes(self.reader.array()?))),
            0xd1 => integer::new_signed(py, i64::from(i16::from_be_bytes(self.reader.array()?))),
            0xd2 => integer::new_signed(py, i64::from(i32::from_be_bytes(self.reader.array()?))),
            0xd3 => integer::new_signed(py, i64::from_be_bytes(self.reader.array()?)),
            negative @ 0xe0..=0xff => integer::new_signed(py, i64::from(i8::from_be_bytes([negative]))),
            marker => self.sized(marker),
        }
    }

    /// The forms with a length of their own.
    #[inline(never)]
    fn sized(&mut self, marker: u8) -> Coded<Bound<'py, PyAny>> {
        let count = match marker {
            0xd4..=0xd8 => 1 << (marker - 0xd4),
            0xc4 | 0xc7 | 0xd9 => usize::from(self.reader.byte()?),
            0xc5 | 0xc8 | 0xda | 0xdc | 0xde => usize::from(u16::from_be_bytes(self.reader.array()?)),
            0xc6 | 0xc9 | 0xdb | 0xdd | 0xdf => long(u32::from_be_bytes(self.reader.array()?))?,
            _ => return Err(Failure::decode(format!("no msgpack: byte 0x{marker:02x}"))),
        };
        match marker {
            0xc4..=0xc6 => self.bytes(count),
            0xd9..=0xdb => self.text(count),
            0xdc | 0xdd => self.list(count),
            0xde | 0xdf => self.dict(count),
            _ => {
                let [code] = self.reader.array()?;
                self.extension(i8::from_be_bytes([code]), count)
            }
        }
    }

    #[inline]
    fn text(&mut self, count: usize) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        Ok(new_text(py, &self.reader.slice(count)?)?.into_any())
    }

    fn bytes(&mut self, count: usize) -> Coded<Bound<'py, PyAny>> {
        let py = self.py;
        self.reader.check(count)?;
        if count <= OUT_OF_BAND_BYTES || self.reader.is_in_place(count) {
            return Ok(new_bytes(py, &self.reader.slice(count)?)?.into_any());
        }
        // Copied once, piece by piece, straight into the object.
        let mut result = Ok(());
        let bytes = PyBytes::new_with(py, count, |place| {
            result = self.reader.copy_to(place);
            Ok(())
        });
        let bytes = bytes.map_err(|error| self.failed(error))?;
        result.map(|()| bytes.into_any())
    }

    #[inline]
    pub(super) fn enter(&mut self, count: usize) -> Coded<()> {
        if self.depth >= NESTING {
            return Err(Failure::decode(format!("nested deeper than {NESTING}")));
        }
        self.depth += 1;
        self.reader.promise(count)
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// The next item of the container that was entered.
    #[inline]
    pub(super) fn item(&mut self) -> Coded<Bound<'py, PyAny>> {
        self.reader.keep_promise();
        self.value()
    }

    #[inline]
    fn list(&mut self, count: usize) -> Coded<Bound<'py, PyAny>> {
        const FIXEXT1: u8 = 0xd4;
        self.enter(count)?;
        let mut builder;
        if count > 0 && self.reader.peek() == Some(FIXEXT1) {
            self.reader.keep_promise();
            let [_, code] = self.reader.array()?;
            let code = i8::from_be_bytes([code]);
            if code == EXT_TAG {
                let [tag] = self.reader.array()?;
                let object = self.tagged(tag, count - 1)?;
                self.leave();
                return Ok(object);
            }
            let first = self.extension(code, 1).map_err(|failure| failure.at_index(0))?;
            builder = Builder::list(self.py, count)?;
            builder.push(first);
            self.fill(&mut builder, 1..count)?;
        } else {
            builder = Builder::list(self.py, count)?;
            self.fill(&mut builder, 0..count)?;
        }
        self.leave();
        Ok(builder.finish())
    }

    #[inline]
    fn fill(&mut self, builder: &mut Builder<'py>, range: std::ops::Range<usize>) -> Coded<()> {
        for index in range {
            builder.push(self.item().map_err(|failure| failure.at_index(index))?);
        }
        Ok(())
    }

    /// An array that is something else than a list, with `count` elements after its tag.
    #[inline]
    fn tagged(&mut self, tag: u8, count: usize) -> Coded<Bound<'py, PyAny>> {
        if tag == tag::TUPLE {
            let mut builder = Builder::tuple(self.py, count)?;
            self.fill(&mut builder, 0..count)?;
            return Ok(builder.finish());
        }
        self.rare_tag(tag, count)
    }

    #[inline(never)]
    fn rare_tag(&mut self, tag: u8, count: usize) -> Coded<Bound<'py, PyAny>> {
        match (tag, count) {
            (tag::SET, _) => {
                let set = PySet::empty(self.py).map_err(|error| self.failed(error))?;
                for index in 0..count {
                    let item = self.item().map_err(|failure| failure.at_index(index))?;
                    set.add(item).map_err(|error| self.failed(error).at_index(index))?;
                }
                Ok(set.into_any())
            }
            (tag::FROZENSET, _) => {
                let mut items = Builder::list(self.py, count)?;
                self.fill(&mut items, 0..count)?;
                let class = self.py.get_type::<PyFrozenSet>();
                class.call1((items.finish(),)).map_err(|error| self.failed(error))
            }
            (tag::BYTEARRAY, 1) => {
                let py = self.py;
                let count = self.bin_header()?;
                self.reader.check(count)?;
                let mut result = Ok(());
                let array = PyByteArray::new_with(py, count, |place| {
                    result = self.reader.copy_to(place);
                    Ok(())
                });
                let array = array.map_err(|error| self.failed(error))?;
                result.map(|()| array.into_any())
            }
            (tag::MEMORYVIEW, 5) => self.memory_view(),
            (tag::ARRAY, 4) => self.array_array(),
            (tag::NDARRAY, 5) => self.ndarray(),
            (tag::NUMPY_SCALAR, 2) => self.numpy_scalar(),
            _ => Err(Failure::decode(format!("unknown kind of value (tag {tag} with {count} parts)"))),
        }
    }

    /// The header of the `bin` that must come next, as an item.
    pub(super) fn bin_header(&mut self) -> Coded<usize> {
        self.reader.keep_promise();
        match self.reader.byte()? {
            0xc4 => Ok(usize::from(self.reader.byte()?)),
            0xc5 => Ok(usize::from(u16::from_be_bytes(self.reader.array()?))),
            0xc6 => long(u32::from_be_bytes(self.reader.array()?)),
            _ => Err(Failure::decode("bytes are missing where an array keeps them")),
        }
    }

    /// The header of the array that must come next.
    pub(super) fn array_header(&mut self) -> Coded<usize> {
        let count = match self.reader.byte()? {
            fix @ 0x90..=0x9f => usize::from(fix & 0x0f),
            0xdc => usize::from(u16::from_be_bytes(self.reader.array()?)),
            0xdd => long(u32::from_be_bytes(self.reader.array()?))?,
            _ => return Err(Failure::decode("no arguments of a call").under("arguments")),
        };
        self.reader.check(count)?;
        Ok(count)
    }

    /// The keyword arguments that must come next.
    pub(super) fn keywords(&mut self) -> Coded<Bound<'py, PyDict>> {
        let count = match self.reader.byte()? {
            fix @ 0x80..=0x8f => usize::from(fix & 0x0f),
            0xde => usize::from(u16::from_be_bytes(self.reader.array()?)),
            0xdf => long(u32::from_be_bytes(self.reader.array()?))?,
            _ => return Err(Failure::decode("no keyword arguments of a call").under("arguments")),
        };
        // No level of nesting, as little as the positional ones.
        self.reader.promise(count.saturating_mul(2))?;
        self.filled_dict(count).map_err(|failure| failure.under("keyword arguments"))
    }

    #[inline]
    fn dict(&mut self, count: usize) -> Coded<Bound<'py, PyAny>> {
        let dict = self.pairs(count)?;
        Ok(dict.into_any())
    }

    /// The `count` pairs of a map.
    #[inline]
    pub(super) fn pairs(&mut self, count: usize) -> Coded<Bound<'py, PyDict>> {
        self.enter(count.saturating_mul(2))?;
        let dict = self.filled_dict(count)?;
        self.leave();
        Ok(dict)
    }

    #[inline]
    fn filled_dict(&mut self, count: usize) -> Coded<Bound<'py, PyDict>> {
        let dict = PyDict::new(self.py);
        for _ in 0..count {
            let key = self.key()?;
            let value = self.item().map_err(|failure| failure.at_key(&key))?;
            dict.set_item(&key, value).map_err(|error| self.failed(error).at_key(&key))?;
        }
        if dict.len() != count {
            return Err(Failure::decode("a key stands twice in a dict"));
        }
        Ok(dict)
    }

    #[inline]
    fn key(&mut self) -> Coded<Bound<'py, PyAny>> {
        let count = match self.reader.peek() {
            Some(fix @ 0xa0..=0xbf) => usize::from(fix & 0x1f),
            _ => return self.item(),
        };
        const { assert!(0x1f <= KEY_BYTES) };
        self.reader.keep_promise();
        self.reader.byte()?;
        let py = self.py;
        Ok(self.keys.get(py, &self.reader.slice(count)?)?.into_any())
    }
}

fn long(count: u32) -> Coded<usize> {
    usize::try_from(count).map_err(|_| Failure::decode("longer than this machine can hold"))
}
