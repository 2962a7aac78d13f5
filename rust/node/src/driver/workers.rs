//! The parent of worker processes: takes their connections on a socket of their own, and announces what they offer.
//!
//! A function is announced while a worker offers it. Where two workers offer it differently, as while they are restarted
//! with changed code, the newest offer counts, and those who still offer the former one get no more calls of it.

use std::any::Any;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use mpreg_engine::Input;
use mpreg_rpc::{Runs, WorkerOffer};
use mpreg_transport::{Address, Connection, Listener};
use mpreg_types::{ConnectionId, ErrorCode, FunctionName, FunctionVersion, PreparedTarget, StreamId, Target};
use mpreg_wire::Role;
use mpreg_wire::handshake::Policy;

use super::look_replies::LookReplies;
use super::looks::Asker;
use super::stuck_workers::Stuck;
use super::{DRAIN_POLL, Driver};
use crate::client::nil;
use crate::config::{Part, Settings};
use crate::doorway::{Doorway, Introduction};
use crate::error::NodeError;
use crate::functions::{FunctionSpec, LocalEntry};
use crate::worker_door::ToWorkers;
use crate::worker_offer::{BUSY, LEAVE, OFFER, Offer, WITHDRAW, Withdrawal};

/// The numbers of workers' functions begin here, those of the process's own ones at 1.
const FIRST_HANDLE: u64 = 1 << 40;

type Key = (FunctionName, FunctionVersion);

/// What the workers of a node offer.
#[derive(Debug, Default)]
pub(super) struct Workers {
    offered: BTreeMap<Key, Offered>,
    handles: u64,
    stuck: Stuck,
}

#[derive(Debug)]
struct Offered {
    handle: u64,
    spec: FunctionSpec,
    by: BTreeSet<ConnectionId>,
}

impl Workers {
    fn next_handle(&mut self) -> u64 {
        self.handles += 1;
        FIRST_HANDLE + self.handles
    }

    /// `by` offers it no longer: its number, and whether nobody does any more.
    fn withdraw(&mut self, key: &Key, by: ConnectionId) -> Option<(u64, bool)> {
        let offered = self.offered.get_mut(key)?;
        if !offered.by.remove(&by) {
            return None;
        }
        let (handle, last) = (offered.handle, offered.by.is_empty());
        if last {
            self.offered.remove(key);
        }
        Some((handle, last))
    }

    fn of(&self, worker: ConnectionId) -> Vec<Key> {
        let own = self.offered.iter().filter(|(_, offered)| offered.by.contains(&worker));
        own.map(|(key, _)| key.clone()).collect()
    }
}

/// The settings of connections between the processes of one node: who may enter the socket's directory is one of them.
pub(crate) fn within_the_node(settings: &Settings) -> Settings {
    Settings {
        insecure: true,
        secret_file: None,
        tls_ca: None,
        tls_cert: None,
        tls_key: None,
        ..settings.clone()
    }
}

impl Driver {
    /// Of members and clients, and of workers if this process is the parent of some.
    pub(super) async fn take_connections(&mut self, listener: Listener) -> Result<(), NodeError> {
        self.spawn_acceptor(listener, self.doorway.clone());
        let config = &self.shared.config;
        let Part::Parent { socket, .. } = &config.part else { return Ok(()) };
        let introduction = Introduction {
            signer: self.shared.signer.clone(),
            role: Role::Node,
            cluster: Some(config.cluster.clone()),
            name: config.name.clone(),
            instance: config.instance.clone(),
        };
        let (policy, network) = (Policy::roles([Role::Worker]), self.doorway.network.clone());
        let doorway = Doorway::new(&within_the_node(&config.settings), introduction, policy, network, None)?;
        let listener = doorway.network.listen(&Address::Unix(socket.clone()), None).await;
        let listener = listener.map_err(|error| NodeError::config(error.to_string()))?;
        self.spawn_acceptor(listener, Rc::new(doorway));
        Ok(())
    }

    /// What a worker tells of its functions; true: it may be answered, callers see them so.
    pub(super) fn worker_asks(&mut self, asker: &Asker, verb: &str, body: &[u8]) -> Result<bool, NodeError> {
        let Asker::Client(connection, token) = asker else { return Err(for_workers_only()) };
        if connection.peer().role != Role::Worker {
            return Err(for_workers_only());
        }
        let connection = connection.clone();
        match verb {
            OFFER => self.worker_offers(&connection, read(body)?)?,
            WITHDRAW => {
                let Withdrawal { name, version } = read(body)?;
                self.worker_withdraws(&(name, version), connection.id());
            }
            BUSY => {
                self.workers.stuck.heard(connection.id(), read(body)?);
                self.hear(Input::Busy { stack: self.workers.stuck.said() });
            }
            LEAVE => {
                self.worker_gone(connection.id());
                self.run_outputs();
                self.answer_when_quiet(connection, *token);
                return Ok(false);
            }
            other => {
                return Err(NodeError::config(format!("{other}: this node knows no such word of a worker")));
            }
        }
        self.run_outputs();
        Ok(true)
    }

    /// A worker that leaves may end when it has answered all its calls, those included that are still on the way to it: an
    /// answer given now would overtake them.
    fn answer_when_quiet(&self, worker: Arc<Connection>, token: StreamId) {
        let switch = Arc::downgrade(&self.switch);
        tokio::task::spawn_local(async move {
            let is_busy = || switch.upgrade().is_some_and(|switch| !switch.lock().is_quiet(worker.id()));
            while worker.is_open() && is_busy() {
                tokio::time::sleep(DRAIN_POLL).await;
            }
            LookReplies::default().send(worker, token, Ok(nil()));
        });
    }

    fn worker_offers(&mut self, worker: &Arc<Connection>, offer: Offer) -> Result<(), NodeError> {
        let Offer { number, spec } = offer;
        let key = (spec.name.clone(), spec.version.clone());
        if self.workers.offered.get(&key).is_some_and(|offered| offered.spec != spec) {
            self.forget_former(&key);
        }
        let target = Target::Direct {
            node: worker.peer().node,
            incarnation: worker.peer().incarnation,
            function: spec.id.clone(),
            version: spec.version.clone(),
        };
        let known = self.workers.offered.get(&key).map(|offered| offered.handle);
        let handle = known.unwrap_or_else(|| self.workers.next_handle());
        let (idempotent, target) = (spec.idempotent, Arc::new(PreparedTarget::new(target)));
        self.switch
            .lock()
            .worker_offers(worker.id(), WorkerOffer { number, function: handle, idempotent, target });
        if known.is_none()
            && let Err(error) = self.announce_of_workers(handle, spec.clone())
        {
            self.switch.lock().worker_withdraws(worker.id(), handle);
            return Err(error);
        }
        match self.workers.offered.entry(key) {
            Entry::Occupied(mut offered) => {
                offered.get_mut().by.insert(worker.id());
            }
            Entry::Vacant(place) => {
                place.insert(Offered { handle, spec, by: BTreeSet::from([worker.id()]) });
            }
        }
        Ok(())
    }

    fn announce_of_workers(&mut self, handle: u64, spec: FunctionSpec) -> Result<(), NodeError> {
        let runs = if spec.threaded { Runs::InThread } else { Runs::OnLoop };
        let slots = self.shared.workload.function_slots(runs, spec.concurrency);
        let handler: Arc<dyn Any + Send + Sync> = Arc::new(());
        let dispatcher = Arc::new(ToWorkers { function: handle, door: self.shared.worker_door.clone() });
        let entry = Arc::new(LocalEntry { handler, dispatcher, slots, spec });
        if !self.shared.functions.insert(handle, &entry) {
            let FunctionSpec { name, version, .. } = &entry.spec;
            return Err(NodeError::config(format!("{name} {version} is registered on this node already")));
        }
        self.offer(handle, &entry).inspect_err(|_| self.shared.functions.remove(handle))
    }

    /// A worker offers it differently from now on.
    fn forget_former(&mut self, key: &Key) {
        let former = self.workers.offered.get(key).map(|offered| offered.by.clone()).unwrap_or_default();
        for worker in former {
            self.worker_withdraws(key, worker);
        }
    }

    fn worker_withdraws(&mut self, key: &Key, worker: ConnectionId) {
        let Some((handle, last)) = self.workers.withdraw(key, worker) else { return };
        self.switch.lock().worker_withdraws(worker, handle);
        if !last {
            return;
        }
        if let Some(entry) = self.shared.functions.find(handle) {
            self.withdraw(&entry);
        }
        self.shared.functions.remove(handle);
    }

    /// It leaves, or has ended.
    pub(super) fn worker_gone(&mut self, worker: ConnectionId) {
        for key in self.workers.of(worker) {
            self.worker_withdraws(&key, worker);
        }
        if self.workers.stuck.gone(worker) {
            self.hear(Input::Busy { stack: self.workers.stuck.said() });
        }
    }
}

fn for_workers_only() -> NodeError {
    NodeError::config("only worker processes of this node register functions at it")
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, NodeError> {
    mpreg_wire::message::decode(body).map_err(|error| NodeError::new(ErrorCode::Decode, error.to_string()))
}
