//! The format of one item of a buffer, in the words of Python's `struct`: an optional byte order and one code.
//!
//! Invariant: the size is computed here and never taken from the wire: a memoryview reads as many bytes per item as
//! its format says, whatever its item size is.

use std::ffi::{c_int, c_long, c_short};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ItemFormat {
    bytes: usize,
}

impl ItemFormat {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let code = text.strip_prefix(['@', '=', '<', '>', '!']);
        let native = code.is_none() || text.starts_with('@');
        let code = code.unwrap_or(text);
        let bytes = match code {
            "c" | "b" | "B" | "?" => 1,
            "e" => 2,
            "h" | "H" => {
                if native {
                    size_of::<c_short>()
                } else {
                    2
                }
            }
            "i" | "I" => {
                if native {
                    size_of::<c_int>()
                } else {
                    4
                }
            }
            "l" | "L" => {
                if native {
                    size_of::<c_long>()
                } else {
                    4
                }
            }
            "f" => 4,
            "q" | "Q" | "d" => 8,
            "n" | "N" if native => size_of::<usize>(),
            _ => return None,
        };
        Some(Self { bytes })
    }

    pub(super) fn bytes(self) -> usize {
        self.bytes
    }
}
