use std::collections::BTreeMap;
use std::sync::Arc;

use mpreg_transport::Connection;
use mpreg_types::{ConnectionId, NodeId};

/// The open connections to other members, oldest first.
#[derive(Debug, Default)]
pub(super) struct Peers {
    open: BTreeMap<NodeId, Vec<Arc<Connection>>>,
}

impl Peers {
    pub(super) fn add(&mut self, connection: &Arc<Connection>) {
        self.open.entry(connection.peer().node).or_default().push(connection.clone());
    }

    pub(super) fn remove(&mut self, connection: &Connection) {
        let node = connection.peer().node;
        if let Some(all) = self.open.get_mut(&node) {
            all.retain(|other| other.id() != connection.id());
            if all.is_empty() {
                self.open.remove(&node);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The one that control frames go over: `used`, as calls do, so that they stay in order; once that has ended and
    /// until the engine has heard of it, any other.
    pub(super) fn to(&self, node: NodeId, used: Option<ConnectionId>) -> Option<&Arc<Connection>> {
        let open = || self.open.get(&node).into_iter().flatten().filter(|connection| connection.is_open());
        open().find(|connection| Some(connection.id()) == used).or_else(|| open().next())
    }

    /// One for each member that there is one to.
    pub(super) fn used(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.open.values().filter_map(|all| all.iter().find(|connection| connection.is_open()))
    }

    pub(super) fn find(&self, id: ConnectionId) -> Option<&Arc<Connection>> {
        self.open.values().flatten().find(|connection| connection.id() == id)
    }
}
