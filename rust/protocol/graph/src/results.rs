use std::collections::BTreeMap;

use mpreg_types::{Fetch, GraphId, NodeId, Payload, Time};

use crate::grant::is_granted;

/// Bounds of a [`ResultStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultLimits {
    /// Bytes held in all.
    pub bytes: u64,
    /// Bytes held for one graph.
    pub graph_bytes: u64,
}

impl Default for ResultLimits {
    fn default() -> Self {
        Self { bytes: 2 << 30, graph_bytes: 1 << 30 }
    }
}

/// Results that this node has made for graphs and holds until they end. Whoever asks must prove its right to each.
#[derive(Debug, Default)]
pub struct ResultStore {
    limits: ResultLimits,
    graphs: BTreeMap<GraphId, Held>,
    bytes: u64,
    next: u64,
    refused: u64,
}

#[derive(Debug)]
struct Held {
    until: Time,
    bytes: u64,
    results: BTreeMap<u64, Entry>,
}

struct Entry {
    token: [u8; 16],
    value: Payload,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the token.
        write!(f, "{} bytes", self.value.len())
    }
}

/// A result is not held, because there would be too many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the node holds as many bytes of graphs' results as it may ({limit}); run fewer or smaller graphs at a time"
)]
pub struct StoreFull {
    /// The limit that was reached.
    pub limit: u64,
}

/// A fetch that gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchRefused {
    /// The graph has ended, or its deadline has passed, or it never was.
    #[error("the result is no longer held")]
    Gone,
    /// The proof is not of a grant to who asks.
    #[error("the result is not for this node")]
    NotGranted,
}

impl ResultStore {
    /// Empty.
    pub fn new(limits: ResultLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Holds `value` until the graph's deadline. `token` is secret and drawn for it. Its number.
    pub fn keep(
        &mut self,
        graph: GraphId,
        token: [u8; 16],
        value: Payload,
        until: Time,
    ) -> Result<u64, StoreFull> {
        let bytes = value.len() as u64;
        let of_graph = self.graphs.get(&graph).map_or(0, |held| held.bytes);
        for (held, limit) in [(self.bytes, self.limits.bytes), (of_graph, self.limits.graph_bytes)] {
            if held.saturating_add(bytes) > limit {
                return Err(StoreFull { limit });
            }
        }
        self.next += 1;
        self.bytes += bytes;
        let fresh = Held { until, bytes: 0, results: BTreeMap::new() };
        let held = self.graphs.entry(graph).or_insert(fresh);
        held.until = held.until.max(until);
        held.bytes += bytes;
        held.results.insert(self.next, Entry { token, value });
        Ok(self.next)
    }

    /// The result that `consumer` asks for, whole. The part it wants is cut out by the caller, outside of any lock.
    pub fn fetch(&mut self, wanted: &Fetch, consumer: NodeId) -> Result<Payload, FetchRefused> {
        let held = self.graphs.get(&wanted.graph).and_then(|held| held.results.get(&wanted.result));
        let Some(entry) = held else { return Err(FetchRefused::Gone) };
        if !is_granted(&entry.token, wanted.graph, wanted.result, consumer, wanted.proof) {
            self.refused += 1;
            return Err(FetchRefused::NotGranted);
        }
        Ok(entry.value.clone())
    }

    /// Nobody will be told of that result.
    pub fn drop_result(&mut self, graph: GraphId, result: u64) {
        let Some(held) = self.graphs.get_mut(&graph) else { return };
        if let Some(entry) = held.results.remove(&result) {
            held.bytes -= entry.value.len() as u64;
            self.bytes -= entry.value.len() as u64;
        }
        if held.results.is_empty() {
            self.graphs.remove(&graph);
        }
    }

    /// The graph has ended.
    pub fn free(&mut self, graph: GraphId) {
        if let Some(held) = self.graphs.remove(&graph) {
            self.bytes -= held.bytes;
        }
    }

    /// Frees what nobody may want any more: deadlines that have passed, coordinators that are gone.
    pub fn sweep(&mut self, now: Time, is_gone: impl Fn(&GraphId) -> bool) {
        let ended = self.graphs.iter().filter(|(graph, held)| held.until <= now || is_gone(graph));
        for graph in ended.map(|(graph, _)| *graph).collect::<Vec<_>>() {
            self.free(graph);
        }
    }

    /// When the next deadline passes.
    pub fn next_deadline(&self) -> Option<Time> {
        self.graphs.values().map(|held| held.until).min()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fetches without the right to it.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mpreg_types::{Incarnation, ResultRef};

    use super::*;
    use crate::{grant, open_grant};

    const LATER: Time = Time::from_micros(1_000_000);

    fn node(n: u8) -> NodeId {
        NodeId::from_bytes([n; 16])
    }

    fn graph(number: u64) -> GraphId {
        GraphId { coordinator: node(1), incarnation: Incarnation(7), number }
    }

    fn value(bytes: usize) -> Payload {
        Bytes::from(vec![7; bytes]).into()
    }

    fn held(result: u64) -> ResultRef {
        let (holder, token) = (node(2), [9; 16]);
        ResultRef { holder, incarnation: Incarnation(3), result, token, bytes: 10, idempotent: false }
    }

    fn fetch_by(
        store: &mut ResultStore,
        result: u64,
        granted: NodeId,
        asking: NodeId,
    ) -> Result<Payload, FetchRefused> {
        let proof = grant(&open_grant(&held(result)), graph(1), granted).proof;
        store.fetch(&Fetch { graph: graph(1), result, proof, path: Vec::new() }, asking)
    }

    #[test]
    fn only_the_node_that_was_granted_it_fetches_a_result() {
        let mut store = ResultStore::new(ResultLimits::default());
        let result = store.keep(graph(1), [9; 16], value(10), LATER).unwrap();
        assert_eq!(fetch_by(&mut store, result, node(5), node(5)).unwrap().len(), 10);
        assert_eq!(fetch_by(&mut store, result, node(5), node(6)), Err(FetchRefused::NotGranted));
        assert_eq!(store.refused(), 1);
        assert_eq!(fetch_by(&mut store, result + 1, node(5), node(5)), Err(FetchRefused::Gone));
        let untold = store.keep(graph(1), [9; 16], value(10), LATER).unwrap();
        store.drop_result(graph(1), untold);
        assert_eq!(fetch_by(&mut store, untold, node(5), node(5)), Err(FetchRefused::Gone));
        assert_eq!(store.bytes(), 10);
        store.free(graph(1));
        assert_eq!(fetch_by(&mut store, result, node(5), node(5)), Err(FetchRefused::Gone));
        assert_eq!(store.bytes(), 0);
    }

    #[test]
    fn what_is_held_is_bounded_in_all_and_by_graph() {
        let mut store = ResultStore::new(ResultLimits { bytes: 100, graph_bytes: 60 });
        store.keep(graph(1), [1; 16], value(60), LATER).unwrap();
        assert_eq!(store.keep(graph(1), [1; 16], value(1), LATER), Err(StoreFull { limit: 60 }));
        store.keep(graph(2), [1; 16], value(40), LATER).unwrap();
        assert_eq!(store.keep(graph(3), [1; 16], value(1), LATER), Err(StoreFull { limit: 100 }));
    }

    #[test]
    fn deadlines_and_lost_coordinators_free_what_is_held() {
        let mut store = ResultStore::new(ResultLimits::default());
        store.keep(graph(1), [1; 16], value(60), LATER).unwrap();
        store.keep(graph(2), [1; 16], value(30), LATER + std::time::Duration::from_secs(1)).unwrap();
        assert_eq!(store.next_deadline(), Some(LATER));
        store.sweep(LATER, |_| false);
        assert_eq!(store.bytes(), 30);
        store.sweep(LATER, |graph| graph.coordinator == node(1));
        assert_eq!((store.bytes(), store.next_deadline()), (0, None));
    }
}
