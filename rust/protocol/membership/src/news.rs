//! What is to be told to the peers: gathered per node, sent in as few frames as the exceptions allow.

use std::collections::BTreeMap;

use mpreg_types::NodeId;

use crate::{Message, Output, Row};

/// Nodes whose rows changed, and who brought each piece (who is not told again).
#[derive(Debug, Default)]
pub(crate) struct News {
    changed: BTreeMap<NodeId, Option<NodeId>>,
    urgent: bool,
    planned: bool,
}

impl News {
    /// The row of `node` changed; `from` knows it already. Urgent news does not wait for more.
    pub(crate) fn add(&mut self, node: NodeId, from: Option<NodeId>, urgent: bool) {
        self.changed.insert(node, from);
        self.urgent |= urgent;
    }

    /// True if it should go out now.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// True once if there is something to tell and nobody is to be woken for it yet.
    pub(crate) fn plan(&mut self) -> bool {
        !self.is_empty() && !std::mem::replace(&mut self.planned, true)
    }

    /// Nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// Sends everything to `peers`: nobody is told about itself or what it told us.
    pub(crate) fn send(
        &mut self,
        peers: &[NodeId],
        row: impl Fn(NodeId) -> Option<Row>,
        out: &mut Vec<Output>,
    ) {
        (self.urgent, self.planned) = (false, false);
        let changed = std::mem::take(&mut self.changed);
        let rows: Vec<(Row, Option<NodeId>)> =
            changed.into_iter().filter_map(|(node, from)| Some((row(node)?, from))).collect();
        let knows =
            |peer: NodeId, (row, from): &(Row, Option<NodeId>)| row.node == peer || *from == Some(peer);
        let (special, common): (Vec<NodeId>, Vec<NodeId>) =
            peers.iter().copied().partition(|peer| rows.iter().any(|row| knows(*peer, row)));
        if !common.is_empty() && !rows.is_empty() {
            let rows = rows.iter().map(|(row, _)| row.clone()).collect();
            out.push(Output::SendMany { to: common, message: Message::News(rows) });
        }
        for peer in special {
            let rows: Vec<Row> =
                rows.iter().filter(|row| !knows(peer, row)).map(|(row, _)| row.clone()).collect();
            if !rows.is_empty() {
                out.push(Output::Send { to: peer, message: Message::News(rows) });
            }
        }
    }
}
