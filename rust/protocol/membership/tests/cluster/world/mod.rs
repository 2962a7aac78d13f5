//! A whole cluster in virtual time: one seeded queue of events, links with faults, processes that die, stall and leave.
//!
//! Connections are modelled as far as membership sees them: ordered, silent when black-holed, ended by FIN or RST when
//! a process dies, reset when one side forgot them. A stalled node handles nothing; when it wakes its late timers come
//! first, which is the worst order.

mod link;
mod measure;

use std::collections::BTreeMap;
use std::time::Duration;

use mpreg_membership::{
    Addresses, Config, DialId, DialOutcome, Event, Input, Leave, LocalMember, Loss, MemberIdentity,
    Membership, Message, Output,
};
use mpreg_types::{
    ClusterId, Incarnation, LeaveReason, MemberState, NodeId, NodeKey, Signature, Signed, Signer, Time,
    Verified,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

pub(crate) use link::Links;
pub(crate) use measure::{Samples, deaths};

/// Bytes of a frame header around every message.
const FRAME_HEADER_BYTES: usize = 16;
/// From the first SYN to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_millis(3);

#[derive(Debug)]
struct TestSigner(NodeKey);

impl Signer for TestSigner {
    fn key(&self) -> NodeKey {
        self.0
    }
    fn sign(&self, _: &[u8]) -> Signature {
        Signature::from_bytes([7; 64])
    }
}

/// What the queue holds.
#[derive(Debug)]
enum Item {
    /// Something for one process start of a node.
    Input { to: usize, start: u64, input: Input },
    /// A message on one connection.
    Frame { from: usize, to: usize, connection: u64, message: Message },
    /// A dial reaches the other side.
    Arrive { from: usize, start: u64, dial: DialId, expect: Option<NodeId>, addresses: Addresses },
    /// The other side ended a connection.
    Ended { at: usize, peer: usize, connection: u64, loss: Loss },
    /// A stall is over.
    Wake { node: usize },
}

/// One place where a process may run.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) address: String,
    pub(crate) machine: Option<Membership>,
    pub(crate) incarnation: Incarnation,
    /// Counts process starts, so that timers of an earlier one are not handed to a later one.
    start: u64,
    key: NodeKey,
    stalled: bool,
    waiting: Vec<Item>,
    connections: BTreeMap<usize, u64>,
    pub(crate) sent_messages: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) dials: Vec<(Time, String)>,
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Links,
    pub(crate) config: Config,
    pub(crate) events: Vec<(Time, usize, Event)>,
    /// Encodes every message to count its bytes; slow.
    pub(crate) counts_bytes: bool,
    rng: SmallRng,
    queue: BTreeMap<(Time, u64), Item>,
    sequence: u64,
    last_connection: u64,
    by_id: BTreeMap<NodeId, usize>,
}

impl World {
    /// `count` places, no process running.
    pub(crate) fn new(count: usize, config: Config, seed: u64) -> Self {
        let nodes: Vec<Node> = (0..count).map(|index| Node::new(index, seed)).collect();
        let by_id = nodes.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
        Self {
            now: Time::ZERO,
            nodes,
            links: Links::new(count),
            config,
            events: Vec::new(),
            counts_bytes: false,
            rng: SmallRng::seed_from_u64(seed),
            queue: BTreeMap::new(),
            sequence: 0,
            last_connection: 0,
            by_id,
        }
    }

    /// A converged cluster of `count` nodes; all know node 0 as their seed.
    pub(crate) fn converged(count: usize, config: Config, seed: u64) -> Self {
        let mut world = Self::new(count, config, seed);
        for index in 0..count {
            world.start(index, &[0]);
        }
        let limit = Duration::from_secs(20);
        let took = world.run_until(limit, Self::all_see_all);
        assert!(took.is_some(), "seed {seed}: no convergence");
        // Let the echoes of the start die down, and every probe cycle begin at its own moment.
        world.run(world.config.probe_period * 4);
        world.events.clear();
        world
    }

    /// One more place, no process running.
    pub(crate) fn add_place(&mut self) {
        let index = self.nodes.len();
        let node = Node::new(index, 0);
        self.by_id.insert(node.id, index);
        self.nodes.push(node);
        self.links.side.push(0);
    }

    /// Starts (or restarts, one incarnation higher) the process at `index`.
    pub(crate) fn start(&mut self, index: usize, seeds: &[usize]) {
        let seeds: Vec<Addresses> = seeds.iter().map(|seed| self.nodes[*seed].addresses()).collect();
        let cluster = ClusterId::parse("test").unwrap();
        let node = &mut self.nodes[index];
        node.incarnation = Incarnation(node.incarnation.0 + 1);
        node.start += 1;
        let me = LocalMember { identity: node.identity(), cluster };
        let seed = self.rng.random();
        node.machine = Some(Membership::new(self.config.clone(), me, seed).unwrap());
        // Processes do not start in the same microsecond.
        let after = Duration::from_micros(self.rng.random_range(0..50_000));
        let start = node.start;
        self.add(after, Item::Input { to: index, start, input: Input::Seeds { seeds } });
    }

    /// The process dies; the kernel ends its connections.
    pub(crate) fn kill(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.machine = None;
        node.waiting.clear();
        let connections = std::mem::take(&mut node.connections);
        for (peer, connection) in connections {
            self.end(index, peer, connection, Loss::Abrupt);
        }
    }

    /// The machine stops for `duration`, with everything that waits for it.
    pub(crate) fn stall(&mut self, index: usize, duration: Duration) {
        self.nodes[index].stalled = true;
        self.add(duration, Item::Wake { node: index });
    }

    /// The node leaves in order: its signed leave, then its end.
    pub(crate) fn leave(&mut self, index: usize, reason: LeaveReason) {
        let signed = self.signed_leave(index, reason);
        self.give(index, Input::Leave { signed });
        let node = &mut self.nodes[index];
        node.machine = None;
        let connections = std::mem::take(&mut node.connections);
        for (peer, connection) in connections {
            self.end(index, peer, connection, Loss::Orderly);
        }
    }

    pub(crate) fn signed_leave(&self, index: usize, reason: LeaveReason) -> Signed {
        let node = &self.nodes[index];
        let cluster = ClusterId::parse("test").unwrap();
        let leave = Leave { cluster, node: node.id, incarnation: node.incarnation, reason };
        Signed::new(&TestSigner(node.key), leave.encode())
    }

    /// Runs for `duration`.
    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Runs until `done`, at most `limit`; how long it took.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let start = self.now;
        let tick = Duration::from_millis(10);
        while self.now.since(start) < limit {
            if done(self) {
                return Some(self.now.since(start));
            }
            self.run(tick);
        }
        None
    }

    /// State of `subject` as `observer` sees it.
    pub(crate) fn state(&self, observer: usize, subject: usize) -> Option<MemberState> {
        self.nodes[observer].machine.as_ref()?.member(self.nodes[subject].id).map(|member| member.state)
    }

    /// Indices of running processes.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| self.nodes[*index].machine.is_some()).collect()
    }

    /// Every running process sees every other one alive in its present incarnation, and nobody else as living.
    pub(crate) fn all_see_all(&self) -> bool {
        let running = self.running();
        running.iter().all(|observer| {
            let machine = self.nodes[*observer].machine.as_ref().unwrap();
            let living = machine
                .members()
                .filter(|member| matches!(member.state, MemberState::Alive | MemberState::Suspect))
                .count();
            living == running.len() - 1
                && running.iter().filter(|other| *other != observer).all(|other| {
                    machine.member(self.nodes[*other].id).is_some_and(|member| {
                        member.state == MemberState::Alive
                            && member.identity.incarnation == self.nodes[*other].incarnation
                    })
                })
        })
    }

    /// All running processes but `subject` see it in `state`.
    pub(crate) fn all_see(&self, subject: usize, state: MemberState) -> bool {
        self.running()
            .into_iter()
            .filter(|observer| *observer != subject)
            .all(|observer| self.state(observer, subject) == Some(state))
    }

    /// These observers hold `subject` for Down.
    pub(crate) fn all_see_from(&self, subject: usize, observers: &[usize]) -> bool {
        observers.iter().all(|observer| self.state(*observer, subject) == Some(MemberState::Down))
    }

    /// Both ends lose their connection, without a word.
    pub(crate) fn break_connection(&mut self, a: usize, b: usize) {
        for (here, there) in [(a, b), (b, a)] {
            if let Some(connection) = self.nodes[here].connections.get(&there).copied() {
                self.add(
                    Duration::ZERO,
                    Item::Ended { at: here, peer: there, connection, loss: Loss::Abrupt },
                );
            }
        }
    }

    pub(crate) fn is_connected(&self, a: usize, b: usize) -> bool {
        self.nodes[a].connections.contains_key(&b) && self.nodes[b].connections.contains_key(&a)
    }

    /// Events of one kind about anybody.
    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, _, event)| wanted(event)).count()
    }

    /// Puts an input into the queue of what waits for `index`.
    pub(crate) fn mail(&mut self, index: usize, input: Input) {
        let start = self.nodes[index].start;
        self.add(Duration::ZERO, Item::Input { to: index, start, input });
    }

    /// Hands an input to the machine at `index` and carries out what it wants.
    pub(crate) fn give(&mut self, index: usize, input: Input) {
        let mut out = Vec::new();
        let Some(machine) = &mut self.nodes[index].machine else { return };
        machine.handle(input, self.now, &mut out);
        for output in out {
            self.carry_out(index, output);
        }
    }

    fn carry_out(&mut self, index: usize, output: Output) {
        match output {
            Output::Send { to, message } => self.send(index, to, &message),
            Output::SendMany { to, message } => {
                for peer in to {
                    self.send(index, peer, &message);
                }
            }
            Output::SetTimer { timer, at } => {
                let input = Input::Timer(timer);
                let start = self.nodes[index].start;
                self.add(at.since(self.now), Item::Input { to: index, start, input });
            }
            Output::Dial { dial, expect, addresses } => {
                self.nodes[index].dials.push((self.now, addresses[0].clone()));
                let start = self.nodes[index].start;
                let after = link::delay(&mut self.rng);
                self.add(after, Item::Arrive { from: index, start, dial, expect, addresses });
            }
            Output::Drop { peer, .. } => {
                let peer = self.by_id[&peer];
                if let Some(connection) = self.nodes[index].connections.remove(&peer) {
                    self.end(index, peer, connection, Loss::Orderly);
                }
            }
            Output::Event(event) => self.events.push((self.now, index, event)),
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: &Message) {
        let to = self.by_id[&to];
        let Some(connection) = self.nodes[from].connections.get(&to).copied() else { return };
        self.nodes[from].sent_messages += 1;
        if self.counts_bytes {
            let bytes = rmp_serde::to_vec(message).unwrap().len() + FRAME_HEADER_BYTES;
            self.nodes[from].sent_bytes += bytes as u64;
        }
        for _ in 0..self.links.copies(from, to, &mut self.rng) {
            let at = self.links.in_order(from, to, self.now, &mut self.rng);
            let message = message.clone();
            self.add(at.since(self.now), Item::Frame { from, to, connection, message });
        }
    }

    fn step(&mut self) {
        let Some(((at, _), item)) = self.queue.pop_first() else { return };
        self.now = at;
        let place = match &item {
            Item::Input { to, .. } | Item::Frame { to, .. } => Some(*to),
            Item::Ended { at, .. } => Some(*at),
            Item::Arrive { .. } | Item::Wake { .. } => None,
        };
        if let Some(place) = place
            && self.nodes[place].stalled
        {
            self.nodes[place].waiting.push(item);
        } else {
            self.happen(item);
        }
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Input { to, start, input } => {
                if self.nodes[to].start == start {
                    self.give(to, input);
                }
            }
            Item::Frame { from, to, connection, message } => self.frame(from, to, connection, message),
            Item::Ended { at, peer, connection, loss } => {
                if self.nodes[at].connections.get(&peer) == Some(&connection) {
                    self.nodes[at].connections.remove(&peer);
                    let peer = self.nodes[peer].id;
                    self.give(at, Input::Disconnected { peer, loss });
                }
            }
            Item::Arrive { from, start, dial, expect, addresses } => {
                self.arrive(from, start, dial, expect, &addresses);
            }
            Item::Wake { node } => {
                self.nodes[node].stalled = false;
                let mut waiting = std::mem::take(&mut self.nodes[node].waiting);
                waiting.sort_by_key(|item| !matches!(item, Item::Input { input: Input::Timer(_), .. }));
                for item in waiting {
                    self.happen(item);
                }
            }
        }
    }

    fn frame(&mut self, from: usize, to: usize, connection: u64, message: Message) {
        if self.nodes[to].connections.get(&from) != Some(&connection) {
            // A segment for a connection nobody knows: RST.
            self.end(to, from, connection, Loss::Abrupt);
            return;
        }
        let from = self.nodes[from].id;
        let input = match message {
            Message::Leave(signed) => Input::Left { from, leave: verified(signed) },
            message => Input::Message { from, message },
        };
        self.give(to, input);
    }

    fn arrive(
        &mut self,
        from: usize,
        start: u64,
        dial: DialId,
        expect: Option<NodeId>,
        addresses: &Addresses,
    ) {
        let Some(to) = self.nodes.iter().position(|node| addresses.contains(&node.address)) else { return };
        let running = self.nodes[to].machine.is_some();
        let silent = !self.links.is_open(from, to) || !self.links.is_open(to, from);
        let (after, outcome) = if silent || (running && self.nodes[to].stalled) {
            (self.config.dial_timeout * 9 / 10, DialOutcome::Failed)
        } else if !running {
            (Duration::from_micros(500), DialOutcome::Refused)
        } else if to == from {
            (HANDSHAKE, DialOutcome::Myself)
        } else if expect.is_some_and(|expect| expect != self.nodes[to].id) {
            (HANDSHAKE, DialOutcome::OtherNode { found: self.nodes[to].id })
        } else {
            (HANDSHAKE, DialOutcome::Connected { node: self.nodes[to].id })
        };
        if matches!(outcome, DialOutcome::Connected { .. }) {
            self.connect(from, to);
        }
        let input = Input::Dialled { dial, outcome };
        self.add(after, Item::Input { to: from, start, input });
    }

    fn connect(&mut self, from: usize, to: usize) {
        if self.nodes[from].machine.is_none() || self.nodes[from].connections.contains_key(&to) {
            return;
        }
        if let Some(old) = self.nodes[to].connections.remove(&from) {
            // The other side still holds a connection that this side lost: the new one takes its place.
            self.nodes[to].connections.insert(from, old);
            self.happen(Item::Ended { at: to, peer: from, connection: old, loss: Loss::Other });
        }
        self.last_connection += 1;
        let connection = self.last_connection;
        for (here, there) in [(from, to), (to, from)] {
            self.nodes[here].connections.insert(there, connection);
            let peer = self.nodes[there].identity();
            let start = self.nodes[here].start;
            self.add(HANDSHAKE, Item::Input { to: here, start, input: Input::Connected { peer } });
            self.links.not_before(here, there, self.now + HANDSHAKE);
        }
    }

    /// Tells `peer`, if packets get there, that `connection` ended.
    fn end(&mut self, from: usize, peer: usize, connection: u64, loss: Loss) {
        if self.links.is_open(from, peer) {
            let at = self.links.in_order(from, peer, self.now, &mut self.rng);
            self.add(at.since(self.now), Item::Ended { at: peer, peer: from, connection, loss });
        }
    }

    fn add(&mut self, after: Duration, item: Item) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), item);
    }
}

impl Node {
    fn new(index: usize, seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(index as u64).to_be_bytes());
        bytes[8..16].copy_from_slice(&seed.to_be_bytes());
        let key = NodeKey::from_bytes(bytes);
        Self {
            id: NodeId::of(&key),
            address: format!("10.0.0.{index}:40000"),
            machine: None,
            incarnation: Incarnation(1_700_000_000_000),
            start: 0,
            key,
            stalled: false,
            waiting: Vec::new(),
            connections: BTreeMap::new(),
            sent_messages: 0,
            sent_bytes: 0,
            dials: Vec::new(),
        }
    }

    pub(crate) fn addresses(&self) -> Addresses {
        Addresses::new(vec![self.address.clone()]).unwrap()
    }

    pub(crate) fn identity(&self) -> MemberIdentity {
        MemberIdentity { node: self.id, incarnation: self.incarnation, addresses: self.addresses() }
    }
}

#[expect(clippy::disallowed_methods, reason = "signatures are not what these tests are about")]
pub(crate) fn verified(signed: Signed) -> Verified<Signed> {
    Verified::assume_verified(signed)
}
