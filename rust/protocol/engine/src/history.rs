use std::collections::VecDeque;

use mpreg_types::{Incarnation, NodeId};

use crate::{Change, ChangeKind, FunctionRow, WatchToken};

/// A watch cannot be resumed from this token: too much has changed since, or another node gave it out. List what there
/// is, and watch from the token that is current then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the watch cannot be resumed: its token is from another node or too old; start it anew with existing=True"
)]
pub struct TokenTooOld;

/// The latest changes, for those who resume a watch.
#[derive(Debug)]
pub(crate) struct History {
    latest: WatchToken,
    changes: VecDeque<Change>,
    bytes: usize,
    changes_max: usize,
    bytes_max: usize,
}

impl History {
    pub(crate) fn new(node: NodeId, incarnation: Incarnation, changes_max: usize, bytes_max: usize) -> Self {
        let latest = WatchToken { node, incarnation, sequence: 0 };
        Self { latest, changes: VecDeque::new(), bytes: 0, changes_max, bytes_max }
    }

    /// The token of the last change.
    pub(crate) fn latest(&self) -> WatchToken {
        self.latest
    }

    pub(crate) fn add(&mut self, change: ChangeKind, function: FunctionRow) -> Change {
        self.latest.sequence += 1;
        let change = Change { token: self.latest, change, function };
        self.bytes += change.function.weight();
        self.changes.push_back(change.clone());
        while self.changes.len() > self.changes_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.changes.pop_front() else { break };
            self.bytes -= oldest.function.weight();
        }
        change
    }

    /// What changed after `token`, in order.
    pub(crate) fn since(&self, token: WatchToken) -> Result<impl Iterator<Item = &Change>, TokenTooOld> {
        let missing = self.latest.sequence.checked_sub(token.sequence);
        let of_this_node = (token.node, token.incarnation) == (self.latest.node, self.latest.incarnation);
        let missing = missing.filter(|_| of_this_node).and_then(|missing| usize::try_from(missing).ok());
        let kept = self.changes.len();
        match missing {
            Some(missing) if missing <= kept => Ok(self.changes.range(kept - missing..)),
            _ => Err(TokenTooOld),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mpreg_types::{ClusterId, ForeignText, FunctionVersion, ResourceSet, Scope};

    use super::*;

    fn row(doc: &str) -> FunctionRow {
        FunctionRow {
            name: "f".parse().unwrap(),
            id: "f".parse().unwrap(),
            version: FunctionVersion::ONE,
            node: "eu/a/1".to_owned(),
            cluster: ClusterId::parse("eu").unwrap(),
            resources: ResourceSet::EMPTY,
            tags: BTreeMap::new(),
            scope: Scope::Global,
            signature: ForeignText::default(),
            doc: ForeignText::new(doc),
            node_id: NodeId::from_bytes([1; 16]),
            idempotent: false,
            streaming: false,
            timeout: None,
        }
    }

    fn history(changes_max: usize, bytes_max: usize) -> History {
        History::new(NodeId::from_bytes([1; 16]), Incarnation(1), changes_max, bytes_max)
    }

    fn after(history: &History, token: WatchToken) -> Option<Vec<u64>> {
        Some(history.since(token).ok()?.map(|change| change.token.sequence).collect())
    }

    #[test]
    fn a_watch_goes_on_where_it_ended_or_says_that_it_cannot() {
        let mut history = history(3, 1 << 20);
        let start = history.latest();
        assert_eq!(after(&history, start), Some(vec![]));
        let tokens: Vec<_> = (0..5).map(|_| history.add(ChangeKind::Added, row("")).token).collect();
        assert_eq!(after(&history, tokens[4]), Some(vec![]));
        assert_eq!(after(&history, tokens[1]), Some(vec![3, 4, 5]));
        assert_eq!(after(&history, tokens[0]), None);
        assert_eq!(after(&history, WatchToken { sequence: 9, ..start }), None, "from the future");
        assert_eq!(after(&history, WatchToken { incarnation: Incarnation(2), ..tokens[4] }), None);
    }

    #[test]
    fn long_docs_do_not_fill_the_memory() {
        let mut history = history(1000, 100_000);
        for _ in 0..1000 {
            history.add(ChangeKind::Changed, row(&"x".repeat(10_000)));
        }
        assert!(history.bytes <= 100_000 && history.changes.len() < 10);
    }
}
