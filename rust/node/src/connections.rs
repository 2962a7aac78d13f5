use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mpreg_transport::Connection;
use mpreg_types::ConnectionId;

/// The open connections of this process by id. Read on every call, changed when a connection opens or closes:
/// so readers get an immutable map and writers copy it.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: ArcSwap<BTreeMap<ConnectionId, Arc<Connection>>>,
}

impl Connections {
    pub(crate) fn insert(&self, connection: &Arc<Connection>) {
        self.change(|open| {
            open.insert(connection.id(), connection.clone());
        });
    }

    pub(crate) fn remove(&self, id: ConnectionId) {
        self.change(|open| {
            open.remove(&id);
        });
    }

    pub(crate) fn find(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.open.load().get(&id).cloned()
    }

    fn change(&self, change: impl Fn(&mut BTreeMap<ConnectionId, Arc<Connection>>)) {
        self.open.rcu(|open| {
            let mut open = BTreeMap::clone(open);
            change(&mut open);
            open
        });
    }
}
