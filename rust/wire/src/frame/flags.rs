use std::ops::BitOr;

use crate::FrameKind;

/// The flag byte of a frame header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FrameFlags(u8);

impl FrameFlags {
    /// The whole value is in this frame.
    pub const NONE: Self = Self(0);
    /// On a call, reply or item: its value follows in chunks.
    pub const MORE: Self = Self(1);
    /// On a chunk: the last one of its value.
    pub const LAST: Self = Self(2);

    /// From its byte; the meaning depends on the kind, see [`Self::fit`].
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// Its byte.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// True if all of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if frames of `kind` may carry exactly these flags.
    pub const fn fit(self, kind: FrameKind) -> bool {
        let known = match kind {
            FrameKind::Call | FrameKind::Reply | FrameKind::Item => Self::MORE.0,
            FrameKind::Chunk => Self::LAST.0,
            _ => 0,
        };
        self.0 & !known == 0
    }
}

impl BitOr for FrameFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
