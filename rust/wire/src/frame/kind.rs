macro_rules! frame_kinds {
    ($($(#[$doc:meta])* $variant:ident = $number:literal,)*) => {
        /// What a frame is. The numbers are the wire's: never used again for something else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum FrameKind { $($(#[$doc])* $variant = $number,)* }

        impl FrameKind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kind with that number on the wire.
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

// 64 and above: publish/subscribe, queues, caches; given out with their first version.
frame_kinds! {
    /// First frame of each side: who it says it is.
    Hello = 1,
    /// Second frame of each side: the proof of it.
    Proof = 2,
    /// Why the sender refuses the handshake; the last frame of a connection.
    Refuse = 3,
    /// The sender takes no further call and is about to close: names the last one it took, see
    /// [`Parting`](crate::Parting). A FIN without it is the death of a process.
    Goodbye = 4,
    /// Asks for a [`FrameKind::Pong`].
    Ping = 5,
    /// Repeats the payload of a [`FrameKind::Ping`].
    Pong = 6,
    /// Returns credit of the connection, or of one stream of items.
    Credit = 7,
    /// Message of the membership machine.
    Membership = 16,
    /// Message of the catalog machine.
    Catalog = 17,
    /// Routes between clusters; reserved, refused from everybody.
    Route = 18,
    /// A call; with [`FrameFlags::MORE`](crate::FrameFlags::MORE) its value follows in chunks.
    Call = 32,
    /// The answer to a call; may be chunked like it.
    Reply = 33,
    /// A part of a large value.
    Chunk = 34,
    /// The caller no longer waits.
    Cancel = 35,
    /// These calls have begun to execute.
    Started = 36,
    /// An item of a stream, before the reply that ends it; may be chunked like it.
    Item = 37,
    /// A client or worker asks its entry node for a view of the mesh.
    Look = 48,
    /// The view.
    LookReply = 49,
}

impl FrameKind {
    /// Its number on the wire.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// True for the kinds whose frames have metadata.
    pub const fn has_meta(self) -> bool {
        matches!(self, Self::Call | Self::Reply | Self::Item)
    }

    /// True for the kinds that belong to one call, so that stream 0 would mean nothing.
    pub const fn needs_stream(self) -> bool {
        matches!(self, Self::Call | Self::Reply | Self::Chunk | Self::Cancel | Self::Item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_to_one_kind_and_back() {
        let known: Vec<_> = (0..=u8::MAX).filter_map(FrameKind::from_byte).collect();
        assert_eq!(known, FrameKind::ALL);
        assert!(FrameKind::ALL.iter().all(|kind| FrameKind::from_byte(kind.byte()) == Some(*kind)));
    }
}
