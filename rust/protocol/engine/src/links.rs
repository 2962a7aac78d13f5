//! Which connections lead to which node, and which of them is used.
//!
//! Two nodes that dial each other at the same time have two connections. Both sides agree without a word: the one that
//! the lower `NodeId` dialled is used, and of two that one side dialled the newer one.

use std::collections::BTreeMap;

use mpreg_types::{ConnectionId, Incarnation, NodeId, Time};

/// The connections of this node to others of its cluster.
#[derive(Debug)]
pub(crate) struct Links {
    me: NodeId,
    peers: BTreeMap<NodeId, Peer>,
}

#[derive(Debug)]
struct Peer {
    incarnation: Incarnation,
    /// The used one last.
    links: Vec<Link>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    connection: ConnectionId,
    dialled_by_lower: bool,
    since: Time,
}

/// A connection that this node dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialled {
    pub(crate) node: NodeId,
    pub(crate) connection: ConnectionId,
    pub(crate) since: Time,
}

/// What a new connection means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// The only one to that start of the node; those of former starts are to be closed.
    First { outdated: Vec<ConnectionId> },
    /// One of several; `retired` is no longer used.
    Another { retired: ConnectionId },
    /// Of an earlier start than the known one.
    Stale { known: Incarnation },
}

/// What the end of a connection means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Nobody knew it, or it was not used.
    Unused,
    /// Another one is used now.
    Replaced { by: ConnectionId },
    /// It was the last one.
    Last,
}

impl Links {
    pub(crate) fn new(me: NodeId) -> Self {
        Self { me, peers: BTreeMap::new() }
    }

    pub(crate) fn open(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        connection: ConnectionId,
        dialled: bool,
        now: Time,
    ) -> Opened {
        let link = Link { connection, dialled_by_lower: (self.me < node) == dialled, since: now };
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.incarnation >= incarnation) else {
            let former = self.peers.insert(node, Peer { incarnation, links: vec![link] });
            let outdated =
                former.into_iter().flat_map(|peer| peer.links).map(|link| link.connection).collect();
            return Opened::First { outdated };
        };
        if peer.incarnation > incarnation {
            return Opened::Stale { known: peer.incarnation };
        }
        // A peer has at least one link, and the used one is the last.
        let last = peer.links.len().saturating_sub(1);
        let keeps = peer.links.get(last).is_some_and(|used| used.dialled_by_lower && !link.dialled_by_lower);
        peer.links.insert(if keeps { last } else { last + 1 }, link);
        Opened::Another { retired: peer.links[last].connection }
    }

    pub(crate) fn close(&mut self, node: NodeId, connection: ConnectionId) -> Closed {
        let Some(peer) = self.peers.get_mut(&node) else { return Closed::Unused };
        let Some(at) = peer.links.iter().position(|link| link.connection == connection) else {
            return Closed::Unused;
        };
        let used = at + 1 == peer.links.len();
        peer.links.remove(at);
        match peer.links.last() {
            None => {
                self.peers.remove(&node);
                Closed::Last
            }
            Some(last) if used => Closed::Replaced { by: last.connection },
            Some(_) => Closed::Unused,
        }
    }

    /// Forgets all connections to `node`.
    pub(crate) fn drop_peer(&mut self, node: NodeId) -> Vec<ConnectionId> {
        let links = self.peers.remove(&node).map(|peer| peer.links).unwrap_or_default();
        links.into_iter().map(|link| link.connection).collect()
    }

    /// The used connection to `node`.
    pub(crate) fn used(&self, node: NodeId) -> Option<ConnectionId> {
        self.peers.get(&node)?.links.last().map(|link| link.connection)
    }

    /// Peers whose only connection this node dialled.
    pub(crate) fn dialled(&self) -> impl Iterator<Item = Dialled> {
        self.peers.iter().filter_map(|(node, peer)| {
            let [link] = peer.links[..] else { return None };
            let dialled = (self.me < *node) == link.dialled_by_lower;
            dialled.then_some(Dialled { node: *node, connection: link.connection, since: link.since })
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Incarnation = Incarnation(1);

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    #[test]
    fn both_sides_of_a_double_dial_use_the_same_connection() {
        // Connection 1 is dialled by the lower node, 2 by the higher one; each side may see them in either order.
        for order in [[1, 2], [2, 1]] {
            for (me, peer) in [(1, 9), (9, 1)] {
                let mut links = Links::new(node(me));
                for connection in order {
                    let dialled_by_lower = connection == 1;
                    links.open(
                        node(peer),
                        FIRST,
                        ConnectionId(connection),
                        dialled_by_lower == (me < peer),
                        Time::ZERO,
                    );
                }
                assert_eq!(links.used(node(peer)), Some(ConnectionId(1)), "{order:?} at {me}");
            }
        }
    }

    #[test]
    fn of_two_by_one_side_the_newer_one_is_used_and_its_end_brings_the_older_back() {
        let mut links = Links::new(node(1));
        let open = |links: &mut Links, id| links.open(node(2), FIRST, ConnectionId(id), true, Time::ZERO);
        assert_eq!(open(&mut links, 1), Opened::First { outdated: vec![] });
        assert_eq!(open(&mut links, 2), Opened::Another { retired: ConnectionId(1) });
        assert_eq!(links.close(node(2), ConnectionId(2)), Closed::Replaced { by: ConnectionId(1) });
        assert_eq!(links.close(node(2), ConnectionId(2)), Closed::Unused);
        assert_eq!(links.close(node(2), ConnectionId(1)), Closed::Last);
        assert!(links.is_empty());
    }

    #[test]
    fn a_retired_connection_ends_unnoticed() {
        let mut links = Links::new(node(1));
        links.open(node(2), FIRST, ConnectionId(1), true, Time::ZERO);
        assert_eq!(
            links.open(node(2), FIRST, ConnectionId(2), false, Time::ZERO),
            Opened::Another { retired: ConnectionId(2) },
            "the new one itself"
        );
        assert_eq!(links.close(node(2), ConnectionId(2)), Closed::Unused);
        assert_eq!(links.used(node(2)), Some(ConnectionId(1)));
    }

    #[test]
    fn a_new_start_takes_over_and_a_late_word_of_the_former_changes_nothing() {
        let mut links = Links::new(node(1));
        links.open(node(2), FIRST, ConnectionId(1), true, Time::ZERO);
        let second = links.open(node(2), Incarnation(2), ConnectionId(2), false, Time::ZERO);
        assert_eq!(second, Opened::First { outdated: vec![ConnectionId(1)] });
        let late = links.open(node(2), FIRST, ConnectionId(3), true, Time::ZERO);
        assert_eq!(late, Opened::Stale { known: Incarnation(2) });
        assert_eq!(links.close(node(2), ConnectionId(1)), Closed::Unused);
        assert_eq!(links.used(node(2)), Some(ConnectionId(2)));
    }
}
