//! What the switch knows of one connection: who is at its other end, and which calls came and went over it.

use std::collections::VecDeque;

use mpreg_types::{NodeId, StreamId};

use crate::key::Index;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A node of the own cluster.
    Member(NodeId),
    /// A worker process of this node: it runs this node's functions, and calls in its name.
    Worker,
    /// A client: this node is its way in.
    Client {
        /// Its id.
        node: NodeId,
        /// Its name, which calls forwarded for it carry.
        name: String,
    },
}

impl Peer {
    pub(crate) fn is_member(&self) -> bool {
        matches!(self, Self::Member(_))
    }

    /// In whose name it calls; a worker calls in that of the node itself.
    pub(crate) fn client_name(&self) -> Option<&str> {
        match self {
            Self::Client { name, .. } => Some(name),
            Self::Member(_) | Self::Worker => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct PeerLink {
    pub(crate) peer: Peer,
    /// Calls that came over it.
    pub(crate) calls: Streams,
    /// Calls that were forwarded over it.
    pub(crate) relays: Streams,
}

impl PeerLink {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { peer, calls: Streams::default(), relays: Streams::default() }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.calls.live == 0 && self.relays.live == 0
    }
}

/// Calls of one direction in the order of their streams. Ended ones stay until a sweep, so adding and ending are O(1)
/// amortised without a list through the slots; the last ones survive sweeps, so a repeated first frame is recognised.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    entries: VecDeque<(StreamId, Index)>,
    live: usize,
}

/// Latest entries that a sweep keeps though they have ended.
const REMEMBERED: usize = 64;

impl Streams {
    /// False if the stream is there already: a repeated first frame.
    ///
    /// A large value is complete, and its call here, only after later small ones; so a lower number is no repetition
    /// as such. The transport, which sees first frames in their order, refuses those.
    pub(crate) fn add(&mut self, stream: StreamId, index: Index) -> bool {
        match self.entries.back() {
            Some((last, _)) if stream <= *last => match self.position(stream) {
                Ok(_) => return false,
                Err(at) => self.entries.insert(at, (stream, index)),
            },
            _ => self.entries.push_back((stream, index)),
        }
        self.live += 1;
        true
    }

    pub(crate) fn find(&self, stream: StreamId) -> Option<Index> {
        let at = self.position(stream).ok()?;
        self.entries.get(at).map(|(_, index)| *index)
    }

    /// One call has ended; `is_live` tells of each whether it has not.
    pub(crate) fn ended(&mut self, is_live: impl Fn(Index) -> bool) {
        self.live = self.live.saturating_sub(1);
        if self.entries.len() <= 2 * (self.live + REMEMBERED) {
            return;
        }
        let ended_before_window = self.entries.len() - REMEMBERED;
        let mut at = 0;
        self.entries.retain(|(_, index)| {
            at += 1;
            at > ended_before_window || is_live(*index)
        });
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = Index> {
        self.entries.iter().map(|(_, index)| *index)
    }

    fn position(&self, stream: StreamId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&stream, |(stream, _)| *stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(number: u64) -> Index {
        Index::new(u32::try_from(number).unwrap(), 0)
    }

    #[test]
    fn a_repeated_stream_is_refused_and_a_late_one_is_not() {
        let mut streams = Streams::default();
        assert!(streams.add(StreamId(1), index(1)) && streams.add(StreamId(5), index(5)));
        assert!(!streams.add(StreamId(5), index(9)) && !streams.add(StreamId(1), index(9)));
        assert!(streams.add(StreamId(3), index(3)));
        assert_eq!(streams.indices().collect::<Vec<_>>(), [index(1), index(3), index(5)]);
        assert_eq!((streams.find(StreamId(3)), streams.find(StreamId(4))), (Some(index(3)), None));
    }

    #[test]
    fn ended_calls_are_swept_and_the_last_ones_remembered() {
        let mut streams = Streams::default();
        assert!(streams.add(StreamId(0), index(0)));
        for number in 1..100_000 {
            assert!(streams.add(StreamId(number), index(number)));
            streams.ended(|live| live == index(0));
            assert!(streams.entries.len() <= 4 * REMEMBERED);
        }
        assert_eq!(streams.find(StreamId(0)), Some(index(0)));
        assert!(!streams.add(StreamId(99_999 - REMEMBERED as u64 / 2), index(7)));
    }
}
