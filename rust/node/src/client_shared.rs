use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mpreg_routing::Snapshot;
use mpreg_rpc::{RetryBudget, RetryConfig, Workload, WorkloadConfig};
use mpreg_types::{ConnectionId, NodeId, Signer};
use mpreg_wire::Process;
use mpreg_wire::verify::Ed25519Signer;
use parking_lot::Mutex;

use crate::caller::End;
use crate::config::{ClientConfig, NodeConfig};
use crate::dispatch::Origin;
use crate::error::NodeError;
use crate::look::AnswerParts;
use crate::node_shared::{empty_snapshot, next_serial};

/// What a client's threads share. It is no member: it has connections and call tables, and no engine or catalog.
#[derive(Debug)]
pub struct ClientShared {
    pub(crate) serial: u64,
    pub(crate) config: ClientConfig,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) me: Process,
    pub(crate) origin: Arc<Origin>,
    pub(crate) no_snapshot: Arc<Snapshot>,
    pub(crate) workload: Arc<Workload>,
    pub(crate) retry_budget: Arc<RetryBudget>,
    /// The connection to the entry node; 0 = none.
    entry: AtomicU64,
    /// Entry nodes, the newest last: errors of calls through former ones name them, too.
    entries: Mutex<VecDeque<EntryNode>>,
    standing: Mutex<Standing>,
    looks: Mutex<Looks>,
}

/// Entry nodes remembered: a call ends soon after its connection.
const ENTRIES_MAX: usize = 4;

#[derive(Debug)]
struct EntryNode {
    connection: ConnectionId,
    node: NodeId,
    /// `cluster/name/instance`.
    label: String,
}

/// Whether it can be called through, and if not why.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// Not yet.
    Closed(String),
    Open,
    /// Never again.
    Ended(String),
}

#[derive(Default)]
struct Looks {
    next: u64,
    open: BTreeMap<u64, (End, AnswerParts)>,
}

impl std::fmt::Debug for Looks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} looks", self.open.len())
    }
}

impl ClientShared {
    /// Draws a key; nothing is dialled yet.
    pub(crate) fn new(config: ClientConfig) -> Result<Arc<Self>, NodeError> {
        let secret = crate::node_key::load_or_draw(None)?;
        let signer: Arc<dyn Signer> = Arc::new(Ed25519Signer::new(secret));
        let incarnation = mpreg_types::Incarnation::next(crate::clock::unix_ms(), None, None);
        let me = Process { node: NodeId::of(&signer.key()), incarnation };
        let cluster = mpreg_types::ClusterId::parse("client")?;
        let no_snapshot = empty_snapshot(me, cluster, config.name.as_str());
        Ok(Arc::new(Self {
            serial: next_serial(),
            me,
            origin: Arc::new(Origin { caller: config.name.to_string(), cluster: String::new() }),
            no_snapshot,
            workload: Workload::new(WorkloadConfig::default()),
            retry_budget: Arc::new(RetryBudget::new(RetryConfig::default())),
            entry: AtomicU64::new(0),
            entries: Mutex::default(),
            standing: Mutex::new(Standing::Closed(
                "the client is not open yet; `async with mpreg.connect(...)`".to_owned(),
            )),
            looks: Mutex::default(),
            signer,
            config,
        }))
    }

    /// What a worker calls through: its parent is its entry node.
    pub(crate) fn of_worker(config: &NodeConfig) -> Result<Arc<Self>, NodeError> {
        Self::new(ClientConfig {
            name: config.name.clone(),
            cluster: Some(config.cluster.clone()),
            addresses: Vec::new(),
            settings: config.settings.clone(),
        })
    }

    pub(crate) fn entry(&self) -> Option<ConnectionId> {
        match self.entry.load(Ordering::Acquire) {
            0 => None,
            id => Some(ConnectionId(id)),
        }
    }

    pub(crate) fn set_entry(&self, entry: Option<(ConnectionId, NodeId, String)>) {
        let id = entry.as_ref().map_or(0, |(id, _, _)| id.0);
        if let Some((connection, node, label)) = entry {
            let mut entries = self.entries.lock();
            if entries.len() == ENTRIES_MAX {
                entries.pop_front();
            }
            entries.push_back(EntryNode { connection, node, label });
        }
        self.entry.store(id, Ordering::Release);
    }

    /// No call goes over that connection any more.
    pub(crate) fn leave_entry(&self, connection: ConnectionId) {
        // If another one is the entry by now, that is as good.
        let _ = self.entry.compare_exchange(connection.0, 0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The entry node, and former ones that may still be answering.
    pub(crate) fn connections(&self) -> Vec<ConnectionId> {
        self.entries.lock().iter().map(|entry| entry.connection).collect()
    }

    pub(crate) fn entry_label(&self) -> Option<String> {
        self.entry().and_then(|connection| self.label_at(connection))
    }

    /// Who is, or was, at the other end.
    pub(crate) fn label_at(&self, connection: ConnectionId) -> Option<String> {
        let entries = self.entries.lock();
        entries.iter().find(|entry| entry.connection == connection).map(|entry| entry.label.clone())
    }

    pub(crate) fn label_of(&self, node: NodeId) -> String {
        let entries = self.entries.lock();
        let entry = entries.iter().rev().find(|entry| entry.node == node);
        entry.map_or_else(|| node.short(), |entry| entry.label.clone())
    }

    pub(crate) fn closed_reason(&self) -> Option<String> {
        match &*self.standing.lock() {
            Standing::Open => None,
            Standing::Closed(why) | Standing::Ended(why) => Some(why.clone()),
        }
    }

    /// It is connected; false if it was ended meanwhile.
    pub(crate) fn open(&self) -> bool {
        let mut standing = self.standing.lock();
        if !matches!(*standing, Standing::Ended(_)) {
            *standing = Standing::Open;
        }
        *standing == Standing::Open
    }

    /// Nothing can be called through it any more.
    pub(crate) fn end(&self, why: String) {
        *self.standing.lock() = Standing::Ended(why);
    }

    /// Asks the entry node.
    pub(crate) fn look(self: &Arc<Self>, verb: &str, body: &[u8], timeout: Duration, end: End) {
        if let Some(why) = self.closed_reason() {
            return end(Err(NodeError::connection_lost(why)));
        }
        let token = {
            let mut looks = self.looks.lock();
            looks.next += 1;
            let token = looks.next;
            looks.open.insert(token, (end, AnswerParts::default()));
            token
        };
        crate::client::send_look(
            self.clone(),
            token,
            crate::look::encode_question(verb, body, timeout),
            timeout,
        );
    }

    /// The answer to a look, or why there is none.
    pub(crate) fn answer_look(&self, token: u64, answer: Result<Bytes, NodeError>) {
        let open = self.looks.lock().open.remove(&token);
        if let Some((end, _)) = open {
            end(answer);
        }
    }

    /// A part of the answer to a look came.
    pub(crate) fn answer_part(&self, token: u64, payload: &[u8]) {
        let whole = self.looks.lock().open.get_mut(&token).and_then(|(_, parts)| parts.add(payload));
        if let Some(answer) = whole {
            self.answer_look(token, answer);
        }
    }

    /// The entry node is gone: what was asked of it gets no answer.
    pub(crate) fn fail_looks(&self, why: &str) {
        let open = std::mem::take(&mut self.looks.lock().open);
        for (end, _) in open.into_values() {
            end(Err(NodeError::connection_lost(why)));
        }
    }
}
