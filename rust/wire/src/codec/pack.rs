//! Appends `MessagePack` values to a buffer. `rmp::encode` does the same through a fallible `Write`; appending to
//! memory cannot fail, and saying so keeps the hot path free of results that nobody can act on.

use std::time::Duration;

use mpreg_types::ClusterId;
use rmp::Marker;

pub(super) fn nil(out: &mut Vec<u8>) {
    out.push(Marker::Null.to_u8());
}

pub(super) fn bool(value: bool, out: &mut Vec<u8>) {
    out.push(if value { Marker::True } else { Marker::False }.to_u8());
}

/// In its shortest form.
#[expect(clippy::cast_possible_truncation, reason = "each arm has checked the range")]
pub(super) fn uint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[Marker::U8.to_u8(), value as u8]),
        0x100..=0xffff => sized(Marker::U16, (value as u16).to_be_bytes(), out),
        0x1_0000..=0xffff_ffff => sized(Marker::U32, (value as u32).to_be_bytes(), out),
        _ => sized(Marker::U64, value.to_be_bytes(), out),
    }
}

/// In microseconds; what is longer than u64 can say (584,000 years) is cut.
pub(super) fn micros(duration: Duration, out: &mut Vec<u8>) {
    uint(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), out);
}

/// Header of an array of `count` elements.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each arm has checked the range; callers count to hundreds"
)]
pub(super) fn array(count: usize, out: &mut Vec<u8>) {
    match count {
        0..=15 => out.push(Marker::FixArray(count as u8).to_u8()),
        16..=0xffff => sized(Marker::Array16, (count as u16).to_be_bytes(), out),
        _ => sized(Marker::Array32, (count as u32).to_be_bytes(), out),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "each arm has checked the range; callers hold far less than 4 GiB"
)]
pub(super) fn bin(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes.len() {
        len @ 0..=0xff => out.extend_from_slice(&[Marker::Bin8.to_u8(), len as u8]),
        len @ 0x100..=0xffff => sized(Marker::Bin16, (len as u16).to_be_bytes(), out),
        len => sized(Marker::Bin32, (len as u32).to_be_bytes(), out),
    }
    out.extend_from_slice(bytes);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "each arm has checked the range; callers hold far less than 4 GiB"
)]
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        len @ 0..=31 => out.push(Marker::FixStr(len as u8).to_u8()),
        len @ 32..=0xff => out.extend_from_slice(&[Marker::Str8.to_u8(), len as u8]),
        len @ 0x100..=0xffff => sized(Marker::Str16, (len as u16).to_be_bytes(), out),
        len => sized(Marker::Str32, (len as u32).to_be_bytes(), out),
    }
    out.extend_from_slice(text.as_bytes());
}

fn sized<const N: usize>(marker: Marker, bytes: [u8; N], out: &mut Vec<u8>) {
    out.push(marker.to_u8());
    out.extend_from_slice(&bytes);
}

/// Clusters walked.
pub(super) fn path(path: &[ClusterId], out: &mut Vec<u8>) {
    array(path.len(), out);
    for cluster in path {
        text(cluster.as_str(), out);
    }
}
