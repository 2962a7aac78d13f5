use bytes::Bytes;
use mpreg_engine::Loss;
use mpreg_types::{Payload, StreamId};
use mpreg_wire::{FrameKind, HEADER_BYTES};

/// What one side of a connection sends. Metadata and messages are the bytes that real processes exchange.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    /// The last word of the handshake: the dialler may speak now.
    Opened,
    Control {
        kind: FrameKind,
        payload: Bytes,
    },
    Call {
        stream: StreamId,
        meta: Bytes,
        value: Payload,
    },
    Reply {
        stream: StreamId,
        meta: Bytes,
        value: Payload,
    },
    Item {
        stream: StreamId,
        meta: Bytes,
        value: Payload,
    },
    Credit {
        stream: StreamId,
        bytes: u64,
    },
    Cancel(StreamId),
    Started(Bytes),
    /// The other side's calls are taken no further: the last one that was.
    Goodbye {
        last: StreamId,
        leaves: bool,
    },
    /// FIN or RST; nothing follows.
    End(Loss),
}

impl Frame {
    /// On the wire, without what TCP adds.
    pub(crate) fn bytes(&self) -> usize {
        let body = match self {
            Self::Opened | Self::End(_) => return 0,
            Self::Control { payload, .. } | Self::Started(payload) => payload.len(),
            Self::Call { meta, value, .. }
            | Self::Reply { meta, value, .. }
            | Self::Item { meta, value, .. } => meta.len() + value.len(),
            Self::Credit { .. } => size_of::<u64>(),
            Self::Goodbye { .. } => size_of::<u64>() + 3,
            Self::Cancel(_) => 0,
        };
        HEADER_BYTES + body
    }
}
