//! Catalogs joined by links with delay and loss, in virtual time. The same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mpreg_types::{ClusterId, Incarnation, MemberState, NodeId, Signed, Time};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::follower::Follower;
use super::signing::{TestSigner, verify};
use crate::{Catalog, Config, EntryValue, Event, Input, Message, Output, Refusal, Timer};

/// Messages and bytes sent, by kind of message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Traffic(pub(super) BTreeMap<&'static str, (u64, u64)>);

impl Traffic {
    pub(super) fn messages(&self, kind: &str) -> u64 {
        self.0.get(kind).map_or(0, |row| row.0)
    }

    pub(super) fn total(&self) -> (u64, u64) {
        self.0.values().fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
    }

    fn count(&mut self, message: &Message) {
        /// Header of a frame.
        const HEADER: u64 = 16;
        let kind = match message {
            Message::Batches(_) => "batches",
            Message::Root(_) => "root",
            Message::Digest(_) => "digest",
            Message::Want(_) => "want",
            Message::Served { .. } => "served",
            Message::Parts(_) => "parts",
        };
        let row = self.0.entry(kind).or_default();
        row.0 += 1;
        row.1 += HEADER + rmp_serde::to_vec(message).unwrap().len() as u64;
    }
}

#[derive(Debug)]
enum Happening {
    Arrives { from: usize, to: usize, link: u64, message: Message },
    Timer { node: usize, start: Incarnation, timer: Timer },
}

#[derive(Debug)]
pub(super) struct Site {
    pub(super) id: NodeId,
    pub(super) catalog: Catalog,
    pub(super) follower: Follower,
    pub(super) refusals: Vec<Refusal>,
    pub(super) received_bytes: usize,
    incarnation: Incarnation,
    running: bool,
}

#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) sites: Vec<Site>,
    pub(super) now: Time,
    pub(super) traffic: Traffic,
    /// Of 1,000 messages so many are lost.
    pub(super) loss_permille: u32,
    /// True: messages of one link may overtake each other.
    pub(super) reorder: bool,
    /// If set, the batches that node 0 sends.
    pub(super) recorded: Option<Vec<Signed>>,
    /// Of nodes added from now on.
    pub(super) config: Config,
    rng: Xoshiro256PlusPlus,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    /// Open links (lower index first), each opening with its own number.
    links: BTreeMap<(usize, usize), u64>,
    last_arrival: BTreeMap<(usize, usize), Time>,
}

const DELAY_US: std::ops::Range<u64> = 200..2000;

impl Mesh {
    /// `count` nodes that know each other as members but are not connected.
    pub(super) fn new(count: usize, seed: u64, config: Config) -> Self {
        let mut mesh = Self {
            sites: Vec::new(),
            now: Time::from_millis(1),
            traffic: Traffic::default(),
            loss_permille: 0,
            reorder: false,
            recorded: None,
            config,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            queue: BTreeMap::new(),
            sequence: 0,
            links: BTreeMap::new(),
            last_arrival: BTreeMap::new(),
        };
        for _ in 0..count {
            mesh.add();
        }
        mesh
    }

    /// One more node; it and the others know each other as members.
    pub(super) fn add(&mut self) -> usize {
        let node = self.add_stranger();
        for other in 0..node {
            self.member(node, other, MemberState::Alive);
            self.member(other, node, MemberState::Alive);
        }
        node
    }

    /// One more node that nobody knows.
    pub(super) fn add_stranger(&mut self) -> usize {
        let index = self.sites.len();
        let incarnation = Incarnation(100);
        let site = self.site(index, incarnation);
        self.sites.push(site);
        index
    }

    fn site(&mut self, index: usize, incarnation: Incarnation) -> Site {
        let signer = TestSigner::new(index as u64);
        let id = signer.id();
        let cluster = ClusterId::parse("test").unwrap();
        let seed = self.rng.random();
        Site {
            id,
            catalog: Catalog::new(self.config.clone(), (id, incarnation), cluster, signer, seed).unwrap(),
            follower: Follower::default(),
            refusals: Vec::new(),
            received_bytes: 0,
            incarnation,
            running: true,
        }
    }

    /// The process of `node` ends and starts again, empty; its links are gone, and nobody was told.
    pub(super) fn restart(&mut self, node: usize) {
        self.stop(node);
        let incarnation = Incarnation(self.sites[node].incarnation.0 + 1);
        self.sites[node] = self.site(node, incarnation);
        for other in (0..self.sites.len()).filter(|other| *other != node) {
            self.member(node, other, MemberState::Alive);
        }
    }

    pub(super) fn stop(&mut self, node: usize) {
        for other in (0..self.sites.len()).filter(|other| *other != node) {
            self.disconnect(node, other);
        }
        self.sites[node].running = false;
    }

    /// `at` is told that `of` is in `state`.
    pub(super) fn member(&mut self, at: usize, of: usize, state: MemberState) {
        let (node, incarnation) = (self.sites[of].id, self.sites[of].incarnation);
        self.input(at, Input::Member { node, incarnation, state });
    }

    pub(super) fn put(&mut self, node: usize, value: EntryValue) {
        self.input(node, Input::Put { value });
    }

    pub(super) fn input(&mut self, node: usize, input: Input) {
        let mut out = Vec::new();
        self.sites[node].catalog.handle(input, self.now, &mut out).unwrap();
        for output in out {
            match output {
                Output::Send { to, message } => self.send(node, to, message),
                Output::SendMany { to, message } => {
                    for to in to {
                        self.send(node, to, message.clone());
                    }
                }
                Output::SetTimer { timer, at } => {
                    let start = self.sites[node].incarnation;
                    self.schedule(at, Happening::Timer { node, start, timer });
                }
                Output::Event(event) => {
                    let site = &mut self.sites[node];
                    if let Event::Refused { refusal, .. } = &event {
                        site.refusals.push(*refusal);
                    }
                    site.follower.follow(site.id, event);
                }
            }
        }
    }

    fn schedule(&mut self, at: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), happening);
    }

    fn send(&mut self, from: usize, to: NodeId, message: Message) {
        let to = self.sites.iter().position(|site| site.id == to).unwrap();
        let Some(link) = self.links.get(&(from.min(to), from.max(to))).copied() else {
            panic!("sent to a node without a connection")
        };
        self.traffic.count(&message);
        if let (Some(recorded), 0, Message::Batches(batches)) = (&mut self.recorded, from, &message) {
            recorded.extend(batches.iter().cloned());
        }
        if self.rng.random_range(0..1000) < self.loss_permille {
            return;
        }
        let mut at = self.now + Duration::from_micros(self.rng.random_range(DELAY_US));
        if !self.reorder {
            let last = self.last_arrival.entry((from, to)).or_insert(Time::ZERO);
            at = at.max(*last);
            *last = at;
        }
        self.schedule(at, Happening::Arrives { from, to, link, message });
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let (a, b) = (a.min(b), a.max(b));
        if a == b || self.links.contains_key(&(a, b)) {
            return;
        }
        self.sequence += 1;
        self.links.insert((a, b), self.sequence);
        let (id_a, id_b) = (self.sites[a].id, self.sites[b].id);
        self.input(a, Input::Connected { peer: id_b });
        self.input(b, Input::Connected { peer: id_a });
    }

    pub(super) fn disconnect(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a.min(b), a.max(b))).is_some() {
            let (id_a, id_b) = (self.sites[a].id, self.sites[b].id);
            self.input(a, Input::Disconnected { peer: id_b });
            self.input(b, Input::Disconnected { peer: id_a });
        }
    }

    /// Every pair of running nodes is connected.
    pub(super) fn connect_all(&mut self) {
        for a in 0..self.sites.len() {
            for b in 0..a {
                if self.sites[a].running && self.sites[b].running {
                    self.connect(a, b);
                }
            }
        }
    }

    /// A ring plus random chords, about `degree` links per node, told to all as their active views.
    pub(super) fn connect_view(&mut self, degree: usize) {
        let count = self.sites.len();
        for a in 0..count {
            self.connect(a, (a + 1) % count);
            for _ in 1..degree / 2 {
                let b = self.rng.random_range(0..count);
                self.connect(a, b);
            }
        }
        let mut views: BTreeMap<usize, BTreeSet<NodeId>> = BTreeMap::new();
        for (a, b) in self.links.keys() {
            views.entry(*a).or_default().insert(self.sites[*b].id);
            views.entry(*b).or_default().insert(self.sites[*a].id);
        }
        for (node, active) in views {
            self.input(node, Input::View { active: Some(active) });
        }
    }

    /// How many links there are.
    pub(super) fn links(&self) -> usize {
        self.links.len()
    }

    pub(super) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            self.happen(happening);
        }
        self.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives { from, to, link, message } => {
                if self.links.get(&(from.min(to), from.max(to))) != Some(&link) {
                    return;
                }
                let from = self.sites[from].id;
                let input = match message {
                    Message::Batches(batches) => {
                        let bodies = batches.iter().map(|signed| signed.body.len());
                        self.sites[to].received_bytes += bodies.sum::<usize>();
                        Input::Batches { from, batches: batches.into_iter().map(verify).collect() }
                    }
                    message => Input::Message { from, message },
                };
                self.input(to, input);
            }
            Happening::Timer { node, start, timer } => {
                if self.sites[node].incarnation == start && self.sites[node].running {
                    self.input(node, Input::Timer(timer));
                }
            }
        }
    }

    /// True if all running nodes hold the same, and none has changes that are not signed yet.
    pub(super) fn converged(&mut self) -> bool {
        let signed = |site: &Site| site.catalog.owners().next().unwrap().row.version;
        if self.sites.iter().any(|site| site.running && signed(site) != site.catalog.own_version()) {
            return false;
        }
        let mut roots = self.sites.iter_mut().filter(|site| site.running).map(|site| site.catalog.root());
        let first = roots.next();
        roots.all(|root| Some(root) == first)
    }

    /// Runs until all running nodes hold the same; how long that took.
    pub(super) fn run_until_converged(&mut self, limit: Duration) -> Duration {
        let start = self.now;
        while !self.converged() {
            assert!(self.now.since(start) < limit, "not converged after {limit:?}: {:?}", self.traffic);
            self.run_for(Duration::from_millis(1));
        }
        self.now.since(start)
    }

    /// Asserts that all running nodes hold the same entries with the same values, and told so.
    pub(super) fn check(&mut self) {
        assert!(self.converged());
        let running: Vec<&Site> = self.sites.iter().filter(|site| site.running).collect();
        for site in &running {
            site.follower.check(site.id, &site.catalog);
            for owner in &running {
                let own = owner.follower.entries(&owner.id);
                assert_eq!(site.follower.entries(&owner.id), own, "{} of {}", site.id, owner.id);
            }
        }
    }
}
