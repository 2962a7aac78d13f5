use crate::{FrameFlags, FrameKind};

/// Why bytes are no frame. The connection they came on cannot be read any further and is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than this side reads, or than the length field can say.
    #[error("a frame of {length} bytes; at most {max} are allowed")]
    TooLarge {
        /// Metadata and payload.
        length: u64,
        /// What would have been allowed.
        max: u64,
    },
    /// Metadata longer than its length field can say.
    #[error("metadata of {meta_bytes} bytes; at most {max} fit into a frame", max = u16::MAX)]
    MetaTooLarge {
        /// What there is.
        meta_bytes: usize,
    },
    /// Metadata longer than the frame, or on a kind that has none.
    #[error("{meta_bytes} bytes of metadata in a {kind:?} frame of {length} bytes")]
    BadMeta {
        /// Kind of the frame.
        kind: FrameKind,
        /// Declared length of the metadata.
        meta_bytes: u16,
        /// Declared length of metadata and payload.
        length: u32,
    },
    /// No kind of this version.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// Flags that this kind does not have.
    #[error("flags {flags:?} do not fit a {kind:?} frame")]
    BadFlags {
        /// Kind of the frame.
        kind: FrameKind,
        /// What it carried.
        flags: FrameFlags,
    },
    /// Stream 0 on a frame that belongs to one call.
    #[error("a {0:?} frame without a stream")]
    NoStream(FrameKind),
    /// The payload of a fixed-size control frame has another size.
    #[error("a {kind:?} frame with a payload of {bytes} bytes")]
    BadPayload {
        /// Kind of the frame.
        kind: FrameKind,
        /// Length of its payload.
        bytes: usize,
    },
}
