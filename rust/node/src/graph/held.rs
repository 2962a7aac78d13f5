//! Results that stay with this node: what a ticket does with a large one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mpreg_graph::{ResultLimits, ResultStore, StoreFull};
use mpreg_types::{
    ErrorBody, ErrorCode, Fetch, GraphId, INLINE_RESULT_BYTES, Incarnation, NodeId, Payload, ResultRef, Time,
};
use parking_lot::Mutex;

/// A node's held results, shared by the threads that make them and the I/O thread that hands them out.
#[derive(Debug)]
pub(crate) struct Results {
    store: Mutex<ResultStore>,
    /// Microseconds; when something held may be freed. Read without the lock, once per batch.
    due: AtomicU64,
}

impl Default for Results {
    fn default() -> Self {
        Self { store: Mutex::new(ResultStore::new(ResultLimits::default())), due: AtomicU64::new(u64::MAX) }
    }
}

impl Results {
    /// The value itself, in one piece; the part is cut out by the caller.
    pub(crate) fn fetch(
        &self,
        wanted: &Fetch,
        consumer: NodeId,
    ) -> Result<Payload, mpreg_graph::FetchRefused> {
        self.store.lock().fetch(wanted, consumer)
    }

    /// The graph has ended.
    pub(crate) fn free(&self, graph: GraphId) {
        self.store.lock().free(graph);
    }

    /// Frees what nobody may want any more.
    pub(crate) fn sweep(&self, now: Time, is_gone: impl Fn(&GraphId) -> bool) {
        let mut store = self.store.lock();
        store.sweep(now, is_gone);
        let due = store.next_deadline().map_or(u64::MAX, Time::as_micros);
        self.due.store(due, Ordering::Release);
    }

    /// When to sweep next.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        Some(self.due.load(Ordering::Acquire)).filter(|due| *due != u64::MAX).map(Time::from_micros)
    }

    fn drop_result(&self, graph: GraphId, result: u64) {
        self.store.lock().drop_result(graph, result);
    }

    fn keep(&self, graph: GraphId, token: [u8; 16], value: Payload, until: Time) -> Result<u64, StoreFull> {
        let kept = self.store.lock().keep(graph, token, value, until);
        self.due.fetch_min(until.as_micros(), Ordering::AcqRel);
        kept
    }
}

/// What a ticket needs to hold the result of a graph's step instead of sending it.
pub(crate) struct Keep {
    pub(crate) results: Arc<Results>,
    pub(crate) graph: GraphId,
    pub(crate) holder: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) idempotent: bool,
    /// The graph's deadline.
    pub(crate) until: Time,
}

impl Keep {
    /// No graph takes longer, whatever its coordinator says: the longest deadline there is.
    pub(crate) const LONGEST: Duration = Duration::from_hours(24);

    /// The caller took the step back while its result was put down: nobody will be told of it.
    pub(crate) fn let_go(&self, held: &ResultRef) {
        self.results.drop_result(self.graph, held.result);
    }

    /// A large result, held from now on; `None`: it is small and travels.
    pub(crate) fn hold(&self, value: &Payload) -> Option<Result<ResultRef, ErrorBody>> {
        if value.len() <= INLINE_RESULT_BYTES {
            return None;
        }
        let token = match crate::entropy::random_bytes::<16>() {
            Ok(token) => token,
            Err(error) => return Some(Err(ErrorBody::new(ErrorCode::Internal, error.to_string()))),
        };
        let kept = self.results.keep(self.graph, token, value.clone(), self.until);
        Some(kept.map_err(|full| ErrorBody::new(ErrorCode::Overloaded, full.to_string())).map(|result| {
            ResultRef {
                holder: self.holder,
                incarnation: self.incarnation,
                result,
                token,
                bytes: value.len() as u64,
                idempotent: self.idempotent,
            }
        }))
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").field("graph", &self.graph).finish_non_exhaustive()
    }
}
