//! The numbers of the value format; `codec` explains how they are used. They are on the wire: never reuse one.

/// Marks an array as something else than a list: `fixext1`, always the first element. Its byte is a `tag::*`.
pub(super) const EXT_TAG: i8 = 1;
/// An integer beyond 64 bits: two's complement, big endian.
pub(super) const EXT_INT: i8 = 2;
/// year u16, month u8, day u8.
pub(super) const EXT_DATE: i8 = 3;
/// hour, minute, second u8, microsecond u32, fold u8, zone.
pub(super) const EXT_TIME: i8 = 4;
/// A date, then a time.
pub(super) const EXT_DATETIME: i8 = 5;
/// days i32, seconds i32, microseconds i32.
pub(super) const EXT_TIMEDELTA: i8 = 6;
/// Its text, ASCII.
pub(super) const EXT_DECIMAL: i8 = 7;
/// 16 bytes, big endian.
pub(super) const EXT_UUID: i8 = 8;
/// A reference to the result of a graph step: replaced before a value reaches Python, so never decoded here.
pub(super) const EXT_STEP: i8 = 9;

/// What a tagged array is; the elements that follow the tag.
pub(super) mod tag {
    /// The items.
    pub(in super::super) const TUPLE: u8 = 1;
    /// The items.
    pub(in super::super) const SET: u8 = 2;
    /// The items.
    pub(in super::super) const FROZENSET: u8 = 3;
    /// bin.
    pub(in super::super) const BYTEARRAY: u8 = 4;
    /// readonly, format, shape, padding, bin (C order).
    pub(in super::super) const MEMORYVIEW: u8 = 5;
    /// typecode, itemsize, padding, bin.
    pub(in super::super) const ARRAY: u8 = 6;
    /// dtype, Fortran order, shape, padding, bin.
    pub(in super::super) const NDARRAY: u8 = 7;
    /// dtype, bin.
    pub(in super::super) const NUMPY_SCALAR: u8 = 8;
}

/// How the zone of a time begins.
pub(super) mod zone {
    /// Nothing follows.
    pub(in super::super) const NAIVE: u8 = 0;
    /// offset in seconds i32, microseconds i32, then the name (the rest; empty: the default name).
    pub(in super::super) const FIXED: u8 = 1;
    /// The key of the time zone database (the rest).
    pub(in super::super) const NAMED: u8 = 2;
    /// `datetime.timezone.utc` itself.
    pub(in super::super) const UTC: u8 = 3;
}

/// Larger buffers become segments of their own and are not copied again.
pub(super) const OUT_OF_BAND_BYTES: usize = 64 * 1024;
/// Containers within containers, both ways.
pub(super) const NESTING: usize = 256;
/// The data of large arrays starts at a multiple of this, counted from the start of the value.
pub(super) const ALIGNMENT: usize = 16;
/// numpy's own limit is 64.
pub(super) const DIMENSIONS: usize = 64;
