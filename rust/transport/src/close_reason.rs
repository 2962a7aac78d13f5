use std::fmt;

use mpreg_types::{ForeignText, StreamId};
use mpreg_wire::Parting;

macro_rules! close_reasons {
    ($($(#[$doc:meta])* $variant:ident = $number:literal => $text:literal,)*) => {
        /// Why a side closes a connection on purpose; the first byte of a Goodbye frame.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum CloseReason { $($(#[$doc])* $variant = $number,)* }

        impl CloseReason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason with that number; one of a newer version reads as [`Self::Other`].
            pub const fn from_byte(byte: u8) -> Self {
                match byte {
                    $($number => Self::$variant,)*
                    _ => Self::Other,
                }
            }

            /// In words.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

close_reasons! {
    /// One that this version does not know.
    Other = 0 => "for another reason",
    /// The process ends in order, or the node leaves.
    Leaving = 1 => "the node leaves",
    /// Both sides dialled at once; the other connection stays.
    Duplicate = 2 => "another connection to the same node stays",
    /// A later start of the same node is connected.
    Replaced = 3 => "a later start of the node is connected",
    /// No answer to pings.
    Unresponsive = 4 => "the peer does not answer",
    /// The peer sent what no peer may send.
    Protocol = 5 => "the peer broke the protocol",
    /// Trust ended: certificate, rules or revocation.
    Untrusted = 6 => "the peer is no longer trusted",
    /// The peer does not take what it asked for.
    Overloaded = 7 => "the peer does not take its replies",
    /// Nobody needs the connection.
    Unused = 8 => "the connection is no longer used",
    /// The other side has said goodbye and closed.
    Answer = 9 => "the other side closed",
}

/// A reason with its details: what a Goodbye frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goodbye {
    /// Why.
    pub reason: CloseReason,
    /// One sentence for people; text of the other side, at most [`Goodbye::DETAIL_BYTES_MAX`].
    pub detail: ForeignText,
}

impl Goodbye {
    /// Longest detail that is sent or kept.
    pub const DETAIL_BYTES_MAX: usize = 512;

    /// With a detail, which is cut to its maximum.
    pub fn new(reason: CloseReason, detail: &str) -> Self {
        let end = (0..=detail.len().min(Self::DETAIL_BYTES_MAX)).rev().find(|&i| detail.is_char_boundary(i));
        Self { reason, detail: ForeignText::new(&detail[..end.unwrap_or(0)]) }
    }

    /// As a frame says it, with what was taken.
    pub(crate) fn parting(&self, last: StreamId, unfinished: &[StreamId]) -> Parting {
        let detail = self.detail.as_str().as_bytes().to_vec();
        Parting { reason: self.reason as u8, last, unfinished: unfinished.to_vec(), detail }
    }

    /// Why, of what a frame says.
    pub(crate) fn of(parting: &Parting) -> Self {
        Self::new(CloseReason::from_byte(parting.reason), &String::from_utf8_lossy(&parting.detail))
    }
}

impl From<CloseReason> for Goodbye {
    fn from(reason: CloseReason) -> Self {
        Self::new(reason, "")
    }
}

impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_str())?;
        match self.detail.as_str() {
            "" => Ok(()),
            detail => write!(f, " ({})", mpreg_types::escape_control(detail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_arrives_with_its_detail() {
        for &reason in CloseReason::ALL {
            let goodbye = Goodbye::new(reason, "because");
            assert_eq!(Goodbye::of(&goodbye.parting(StreamId(0), &[])), goodbye);
        }
    }

    #[test]
    fn any_reason_and_any_detail_are_a_goodbye() {
        let of = |reason, detail: &[u8]| {
            let parting = Goodbye::from(CloseReason::Other).parting(StreamId(0), &[]);
            Goodbye::of(&Parting { reason, detail: detail.to_vec(), ..parting })
        };
        assert_eq!(of(250, b""), CloseReason::Other.into());
        assert_eq!(of(1, &[0xff]).reason, CloseReason::Leaving);
        let long = of(1, "ä".repeat(600).as_bytes());
        assert!(long.detail.as_str().len() <= Goodbye::DETAIL_BYTES_MAX);
    }
}
