//! A cluster in virtual time: ordered connections with constant delay, processes that start, die, leave and are cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mpreg_catalog::Message as CatalogMessage;
use mpreg_membership::Message as MembershipMessage;
use mpreg_routing::{Choice, Context, LocalFunction, Slots, Snapshot};
use mpreg_types::{
    ClusterId, ConnectionId, ContractHash, FunctionName, Incarnation, LeaveReason, MemberState, NodeId,
    NodeKey, NodeName, ResourceSet, Selector, Time, Wanted,
};

use super::item::{End, Item};
use super::signer::{TestSigner, verified};
use crate::{
    Addresses, ChangeKind, Config, DialId, DialOutcome, Engine, EngineError, Event, FunctionEntry, Input,
    Local, Loss, Message, Output, PeerNode, Timer,
};

/// One way between two nodes.
const DELAY: Duration = Duration::from_millis(1);
/// How long a retired connection is kept.
const RETIRED: Duration = Duration::from_secs(1);

pub(super) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(super) fn name(text: &str) -> FunctionName {
    FunctionName::parse(text).unwrap()
}

pub(super) fn entry(text: &str) -> FunctionEntry {
    FunctionEntry::new(name(text), ContractHash::from_bytes([0; 32]))
}

pub(super) fn asking(text: &str) -> Selector {
    Selector::new(Wanted::Name(name(text)))
}

/// One place where a process may run.
pub(super) struct Place {
    pub(super) id: NodeId,
    key: NodeKey,
    pub(super) name: &'static str,
    pub(super) instance: Option<&'static str>,
    pub(super) resources: ResourceSet,
    pub(super) certificates: Vec<bytes::Bytes>,
    pub(super) address: String,
    pub(super) incarnation: Incarnation,
    pub(super) engine: Option<Engine>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// Moments of publishing.
    pub(super) published: Vec<Time>,
    pub(super) events: Vec<(Time, Event)>,
    pub(super) dials: usize,
    connections: BTreeMap<ConnectionId, End>,
    start: u64,
}

/// Everything.
pub(super) struct World {
    pub(super) now: Time,
    pub(super) places: Vec<Place>,
    pub(super) config: Config,
    /// Pairs between which nothing passes.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// A line per output, to compare runs.
    pub(super) trace: Option<Vec<String>>,
    seed: u8,
    queue: BTreeMap<(Time, u64), Item>,
    sequence: u64,
    connections: u64,
}

impl World {
    /// `count` places, no process running.
    pub(super) fn new(count: usize) -> Self {
        let mut world = Self {
            now: Time::from_millis(1_000),
            places: Vec::new(),
            config: Config::test(),
            cut: BTreeSet::new(),
            trace: None,
            seed: 7,
            queue: BTreeMap::new(),
            sequence: 0,
            connections: 0,
        };
        (0..count).for_each(|_| world.add_place());
        world
    }

    /// `count` nodes that know each other; all were told of node 0.
    pub(super) fn converged(count: usize) -> Self {
        let mut world = Self::new(count);
        for index in 0..count {
            world.start(index, &[0]);
        }
        world.run_until("all see all", millis(500), Self::agrees);
        // Let every second connection of a double dial go.
        world.run(millis(1_100));
        world.places.iter_mut().for_each(|place| place.events.clear());
        world
    }

    pub(super) fn add_place(&mut self) {
        let index = u8::try_from(self.places.len()).unwrap();
        let key = NodeKey::from_bytes([index + 1; 32]);
        self.places.push(Place {
            id: NodeId::of(&key),
            key,
            name: "node",
            instance: None,
            resources: ResourceSet::EMPTY,
            certificates: Vec::new(),
            address: format!("memory:{index}"),
            incarnation: Incarnation(0),
            engine: None,
            snapshot: None,
            published: Vec::new(),
            events: Vec::new(),
            dials: 0,
            connections: BTreeMap::new(),
            start: 0,
        });
    }

    /// A process begins at `index`, not started yet.
    pub(super) fn boot(&mut self, index: usize) {
        self.seed = self.seed.wrapping_add(1);
        let incarnation = Incarnation(self.now.as_micros());
        let place = &mut self.places[index];
        place.incarnation = incarnation;
        place.start += 1;
        let local = Local {
            node: place.id,
            incarnation,
            cluster: ClusterId::parse("eu").unwrap(),
            name: NodeName::parse(place.name).unwrap(),
            instance: place.instance.map(|text| text.parse().unwrap()),
            addresses: Addresses::new(vec![place.address.clone()]).unwrap(),
            resources: place.resources.clone(),
            capacity: 0,
            certificates: place.certificates.clone(),
            delegation: place.certificates.first().cloned(),
        };
        let signer = Arc::new(TestSigner(place.key));
        place.engine = Some(Engine::new(self.config.clone(), local, signer, [self.seed; 32]).unwrap());
        place.snapshot = None;
    }

    pub(super) fn start(&mut self, index: usize, seeds: &[usize]) {
        if self.places[index].engine.is_none() {
            self.boot(index);
        }
        let seed = |seed: &usize| Addresses::new(vec![self.places[*seed].address.clone()]).unwrap();
        let seeds = seeds.iter().map(seed).collect();
        self.give(index, Input::Start { seeds }).unwrap();
    }

    pub(super) fn register(&mut self, index: usize, entry: FunctionEntry) -> Result<(), EngineError> {
        let local = LocalFunction { handle: 1, slots: Arc::new(Slots::new(None, None)) };
        self.give(index, Input::Register { entry, local })
    }

    /// The process dies; the kernel ends its connections.
    pub(super) fn kill(&mut self, index: usize) {
        self.places[index].engine = None;
        self.end_all(index, Loss::Abrupt);
    }

    /// The process says goodbye and ends.
    pub(super) fn leave(&mut self, index: usize, reason: LeaveReason) {
        self.give(index, Input::Leave { reason }).unwrap();
        self.places[index].engine = None;
        self.end_all(index, Loss::Orderly);
    }

    /// Nothing passes between `a` and `b` from now on, silently.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        self.cut.extend([(a, b), (b, a)]);
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Runs for `duration`.
    pub(super) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(first) = self.queue.first_entry() {
            if first.key().0 > until {
                break;
            }
            let ((at, _), item) = first.remove_entry();
            self.now = self.now.max(at);
            self.happen(item);
        }
        self.now = until;
    }

    /// Runs until `done`; how long it took.
    pub(super) fn run_until(
        &mut self,
        what: &str,
        limit: Duration,
        done: impl Fn(&mut Self) -> bool,
    ) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now.since(start) < limit, "not within {limit:?}: {what}");
            self.run(millis(1));
        }
        self.now.since(start)
    }

    pub(super) fn engine(&self, index: usize) -> &Engine {
        self.places[index].engine.as_ref().unwrap()
    }

    pub(super) fn running(&self) -> Vec<usize> {
        (0..self.places.len()).filter(|index| self.places[*index].engine.is_some()).collect()
    }

    /// All running nodes believe the same, and that exactly the running ones are there.
    pub(super) fn agrees(&mut self) -> bool {
        let running = self.running();
        let mut ids: Vec<NodeId> = running.iter().map(|index| self.places[*index].id).collect();
        ids.sort_unstable();
        let believed: Vec<_> =
            running.iter().map(|index| self.places[*index].engine.as_mut().unwrap().converged()).collect();
        believed.iter().all(|one| one.alive == ids && *one == believed[0])
    }

    /// Whom `index` would call now, by its published snapshot.
    pub(super) fn choice(&self, index: usize, selector: &Selector) -> Option<Choice> {
        let context = Context { own_call: true, now: self.now, random: self.now.as_micros() };
        self.places[index].snapshot.as_ref()?.select(selector, &context).ok()
    }

    pub(super) fn can_call(&self, index: usize, text: &str) -> bool {
        self.choice(index, &asking(text)).is_some()
    }

    pub(super) fn state(&self, observer: usize, subject: usize) -> Option<MemberState> {
        let subject = self.places[subject].id;
        self.engine(observer).members().into_iter().find(|row| row.node_id == subject).map(|row| row.state)
    }

    pub(super) fn happened(&self, index: usize, what: impl Fn(&Event) -> bool) -> bool {
        self.places[index].events.iter().any(|(_, event)| what(event))
    }

    pub(super) fn joined(&self, index: usize) -> Option<bool> {
        self.places[index].events.iter().find_map(|(_, event)| match event {
            Event::Joined { alone } => Some(*alone),
            _ => None,
        })
    }

    /// `kind name` of every change that `index` told.
    pub(super) fn changes(&self, index: usize) -> Vec<(ChangeKind, String)> {
        let told = self.places[index].events.iter().filter_map(|(_, event)| match event {
            Event::Change(change) => Some((change.change, change.function.name.to_string())),
            _ => None,
        });
        told.collect()
    }

    pub(super) fn connections(&self, index: usize) -> usize {
        self.places[index].connections.len()
    }

    /// Of all nodes, from the beginning.
    pub(super) fn connections_made(&self) -> u64 {
        self.connections / 2
    }

    pub(super) fn dials(&self) -> usize {
        self.places.iter().map(|place| place.dials).sum()
    }

    /// The one that `from` uses to reach `to`.
    pub(super) fn connection(&self, from: usize, to: usize) -> Option<ConnectionId> {
        self.engine(from).peer(self.places[to].id)?.connection()
    }

    /// The kernel at `at` ends a connection.
    pub(super) fn end(&mut self, at: usize, connection: ConnectionId) {
        let Some(End { peer, far }) = self.places[at].connections.get(&connection).copied() else { return };
        self.add(DELAY, Item::Ended { at: peer, connection: far, loss: Loss::Abrupt });
        self.ended(at, connection, Loss::Abrupt);
    }

    /// Hands an input to the engine at `index` and does what it wants.
    pub(super) fn give(&mut self, index: usize, input: Input) -> Result<(), EngineError> {
        let Some(engine) = &mut self.places[index].engine else { return Ok(()) };
        let mut out = Vec::new();
        let done = engine.handle(input, self.now, &mut out);
        for output in out {
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{:?} {index} {output:?}", self.now));
            }
            self.carry_out(index, output);
        }
        done
    }

    fn carry_out(&mut self, index: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Send { to, message } => self.send(index, to, &message),
            Output::SendMany { to, message } => to.into_iter().for_each(|to| self.send(index, to, &message)),
            Output::SetTimer { timer, at } => self.wake(index, timer, at),
            Output::Dial { dial, expect, addresses } => {
                self.places[index].dials += 1;
                let start = self.places[index].start;
                self.add(DELAY, Item::Arrive { from: index, start, dial, expect, addresses });
            }
            Output::Close { connection, .. } | Output::CloseIdle { connection } => {
                self.close(index, connection, Loss::Orderly);
            }
            Output::Retire { connection } => self.add(RETIRED, Item::Idle { at: index, connection }),
            Output::CheckCertificates { node, incarnation, name, certificates, .. } => {
                if certificates[0] == name.as_str().as_bytes() {
                    self.give(index, Input::Certified { node, incarnation, name }).unwrap();
                }
            }
            Output::Publish(snapshot) => {
                let place = &mut self.places[index];
                place.published.push(now);
                place.snapshot = Some(snapshot);
            }
            Output::Event(event) => self.places[index].events.push((now, event)),
        }
    }

    fn wake(&mut self, to: usize, timer: Timer, at: Time) {
        let start = self.places[to].start;
        self.add(at.since(self.now), Item::Input { to, start, input: Input::Timer(timer) });
    }

    /// Over the connection that the peer's state names, as the driver does.
    fn send(&mut self, from: usize, to: NodeId, message: &Message) {
        let used = self.engine(from).peer(to).and_then(|peer| peer.connection());
        let Some(near) = used else { return };
        let Some(End { peer, far }) = self.places[from].connections.get(&near).copied() else { return };
        if !self.cut.contains(&(from, peer)) {
            let (from, message) = ((from, near), message.clone());
            self.add(DELAY, Item::Frame { to: peer, connection: far, from, message });
        }
    }

    fn close(&mut self, index: usize, connection: ConnectionId, loss: Loss) {
        if let Some(End { peer, far }) = self.places[index].connections.remove(&connection)
            && !self.cut.contains(&(index, peer))
        {
            self.add(DELAY, Item::Ended { at: peer, connection: far, loss });
        }
    }

    fn end_all(&mut self, index: usize, loss: Loss) {
        let all: Vec<ConnectionId> = self.places[index].connections.keys().copied().collect();
        for connection in all {
            self.close(index, connection, loss);
        }
    }

    fn add(&mut self, after: Duration, item: Item) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), item);
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Input { to, start, input } => {
                if self.places[to].start == start {
                    self.give(to, input).unwrap();
                }
            }
            Item::Frame { to, connection, from, message } => self.frame(to, connection, from, message),
            Item::Arrive { from, start, dial, expect, addresses } => {
                if self.places[from].start == start && self.places[from].engine.is_some() {
                    self.arrive(from, dial, expect, &addresses);
                }
            }
            Item::Ended { at, connection, loss } => self.ended(at, connection, loss),
            Item::Idle { at, connection } => self.idle(at, connection),
        }
    }

    fn idle(&mut self, at: usize, connection: ConnectionId) {
        let Some(End { peer, .. }) = self.places[at].connections.get(&connection).copied() else { return };
        let peer = self.places[peer].id;
        if !self.engine(at).is_used(peer, connection) {
            self.close(at, connection, Loss::Orderly);
            self.give(at, Input::Disconnected { peer, connection, loss: Loss::Orderly }).unwrap();
        }
    }

    fn frame(&mut self, to: usize, connection: ConnectionId, from: (usize, ConnectionId), message: Message) {
        let Some(End { peer, .. }) = self.places[to].connections.get(&connection).copied() else {
            // The kernel resets a connection that it does not know.
            if !self.cut.contains(&(to, from.0)) {
                self.add(DELAY, Item::Ended { at: from.0, connection: from.1, loss: Loss::Abrupt });
            }
            return;
        };
        let from = self.places[peer].id;
        let input = match message {
            Message::Membership(MembershipMessage::Leave(signed)) => {
                Input::Left { from, leave: verified(signed) }
            }
            Message::Membership(message) => Input::Membership { from, message },
            Message::Catalog(CatalogMessage::Batches(batches)) => {
                Input::Batches { from, batches: batches.into_iter().map(verified).collect() }
            }
            Message::Catalog(message) => Input::Catalog { from, message },
        };
        self.give(to, input).unwrap();
    }

    fn ended(&mut self, at: usize, connection: ConnectionId, loss: Loss) {
        if let Some(End { peer, .. }) = self.places[at].connections.remove(&connection) {
            let peer = self.places[peer].id;
            // The thread that reads sees it first, as in the node.
            if let Some(state) = self.places[at].engine.as_ref().and_then(|engine| engine.peer(peer)) {
                state.clear_connection(connection);
            }
            self.give(at, Input::Disconnected { peer, connection, loss }).unwrap();
        }
    }

    fn arrive(&mut self, from: usize, dial: DialId, expect: Option<NodeId>, addresses: &Addresses) {
        let listens = |place: &Place| addresses.contains(&place.address) && place.engine.is_some();
        // The latest process at an address has it.
        let outcome = match self.places.iter().rposition(listens) {
            Some(to) if to == from => DialOutcome::Myself,
            Some(to) if self.cut.contains(&(from, to)) => DialOutcome::Failed,
            Some(to) if expect.is_some_and(|id| id != self.places[to].id) => {
                self.connect(from, to);
                DialOutcome::OtherNode { found: self.places[to].id }
            }
            Some(to) => {
                self.connect(from, to);
                DialOutcome::Connected { node: self.places[to].id }
            }
            None if self.is_cut_off(from, addresses) => DialOutcome::Failed,
            None => DialOutcome::Refused,
        };
        let after = if outcome == DialOutcome::Failed { self.config.membership.dial_timeout } else { DELAY };
        let start = self.places[from].start;
        self.add(after, Item::Input { to: from, start, input: Input::Dialled { dial, outcome } });
    }

    /// True if nothing comes back from where nobody runs, not even a refusal.
    fn is_cut_off(&self, from: usize, addresses: &Addresses) -> bool {
        let at = self.places.iter().position(|place| addresses.contains(&place.address));
        at.is_some_and(|to| self.cut.contains(&(from, to)))
    }

    /// `from` has dialled `to`.
    pub(super) fn connect(&mut self, from: usize, to: usize) -> ConnectionId {
        self.connections += 2;
        let (near, far) = (ConnectionId(self.connections - 1), ConnectionId(self.connections));
        self.places[from].connections.insert(near, End { peer: to, far });
        self.places[to].connections.insert(far, End { peer: from, far: near });
        let (dialler, acceptor) = (self.peer_node(from), self.peer_node(to));
        let start = (self.places[from].start, self.places[to].start);
        let input = Input::Connected { peer: dialler, connection: far, dialled: false };
        self.add(DELAY, Item::Input { to, start: start.1, input });
        let input = Input::Connected { peer: acceptor, connection: near, dialled: true };
        self.add(DELAY, Item::Input { to: from, start: start.0, input });
        near
    }

    fn peer_node(&self, index: usize) -> PeerNode {
        let local = self.engine(index).local();
        PeerNode {
            node: local.node,
            incarnation: local.incarnation,
            name: local.name.clone(),
            instance: local.instance.clone(),
            addresses: local.addresses.clone(),
            declared: true,
        }
    }
}
