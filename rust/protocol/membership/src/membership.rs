//! The machine: takes an input, then does what is due, then tells what changed.
//!
//! Its parts: `swim` talks to foca, `rumours` decides what to believe, `repair` compares tables, `connections` knows
//! the peers, `leaving` the signed leaves. They only record what changed; it goes out once, at the end of `handle`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use foca::{Foca, NoCustomBroadcast};
use mpreg_types::{Incarnation, Load, MemberState, NodeId, Time};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::codec::SwimCodec;
use crate::dialer::Dialer;
use crate::health::LocalHealth;
use crate::news::News;
use crate::rumours::Origin;
use crate::schedule::{Schedule, Task};
use crate::swim_id::SwimId;
use crate::table::Table;
use crate::view::View;
use crate::{
    Addresses, Config, ConfigError, Counters, Input, LocalMember, Member, Message, Output, Row, RowState,
    Timer,
};

/// Where the machine stands in its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    Left,
}

/// Membership of one cluster as one node sees it.
pub struct Membership {
    pub(crate) config: Config,
    pub(crate) me: LocalMember,
    pub(crate) foca: Foca<SwimId, SwimCodec, SmallRng, NoCustomBroadcast>,
    pub(crate) rng: SmallRng,
    pub(crate) now: Time,
    /// How often this node refuted in its present generation; foca does not say, its packets do.
    pub(crate) own_refutation: u16,
    pub(crate) own_id: SwimId,
    pub(crate) table: Table,
    pub(crate) peers: BTreeSet<NodeId>,
    pub(crate) schedule: Schedule,
    pub(crate) health: LocalHealth,
    pub(crate) dialer: Dialer,
    pub(crate) view: View,
    /// Peers, table or view changed: whom to dial has to be looked at again.
    pub(crate) connections_changed: bool,
    /// Peers that were told that they are in the active view.
    pub(crate) told_chosen: BTreeSet<NodeId>,
    /// Peers in whose active view this node is: so everybody hears the news from those it chose itself.
    pub(crate) choosers: BTreeSet<NodeId>,
    pub(crate) news: News,
    /// Messages for members that are being dialled.
    pub(crate) pending: BTreeMap<NodeId, VecDeque<Message>>,
    /// Addresses of nodes and starts that foca is about to be told of.
    pub(crate) new_addresses: BTreeMap<NodeId, Addresses>,
    /// The latest start of this node that others spoke of, if it is later than this one.
    pub(crate) superseded: Option<Incarnation>,
    pub(crate) counters: Counters,
    /// What answers to probes say.
    pub(crate) load: Load,
    phase: Phase,
    /// When it is to be woken.
    armed: Option<Time>,
}

impl Membership {
    /// A node that knows nobody yet. `seed` decides every random choice.
    pub fn new(config: Config, me: LocalMember, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        let identity = &me.identity;
        let own_id = SwimId { node: identity.node, incarnation: identity.incarnation, generation: 0 };
        let mut rng = SmallRng::seed_from_u64(seed);
        let foca_rng = SmallRng::seed_from_u64(rng.random());
        let foca = Foca::new(own_id, crate::swim::foca_config(&config), foca_rng, SwimCodec);
        Ok(Self {
            config,
            me,
            foca,
            rng,
            now: Time::ZERO,
            own_refutation: 0,
            own_id,
            table: Table::default(),
            peers: BTreeSet::new(),
            schedule: Schedule::default(),
            health: LocalHealth::default(),
            dialer: Dialer::default(),
            view: View::default(),
            connections_changed: false,
            told_chosen: BTreeSet::new(),
            choosers: BTreeSet::new(),
            news: News::default(),
            pending: BTreeMap::new(),
            new_addresses: BTreeMap::new(),
            superseded: None,
            counters: Counters::default(),
            load: Load::default(),
            phase: Phase::New,
            armed: None,
        })
    }

    /// Takes one input; what is to be done about it is appended to `out`. After [`Input::Leave`] nothing happens.
    pub fn handle(&mut self, input: Input, now: Time, out: &mut Vec<Output>) {
        self.now = now.max(self.now);
        match self.phase {
            Phase::New => {
                self.phase = Phase::Running;
                self.plan_repair();
            }
            Phase::Running => {}
            Phase::Left => return,
        }
        self.notice_sleep(out);
        self.take(input, out);
        if self.phase == Phase::Running {
            self.do_what_is_due(out);
            self.settle(out);
        }
    }

    /// Every other member known: Alive, Suspect, Down and Left.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.table.entries.values().map(|entry| &entry.member)
    }

    /// One other member.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.table.get(node).map(|entry| &entry.member)
    }

    /// Who this node is.
    pub fn me(&self) -> &LocalMember {
        &self.me
    }

    /// The settings it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was dropped or doubted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// 0: healthy, to 8: this node has reason to distrust its own impression that others are silent.
    pub fn health_score(&self) -> u32 {
        self.health.score()
    }

    /// False for a connection that membership does not need: it may be closed when it idles.
    pub fn is_wanted(&self, peer: NodeId) -> bool {
        self.view.wants(peer) || self.dialer.is_seed(peer)
    }

    /// Peers that membership pushes its news to now, and catalog batches go the same way: all in a full mesh, the
    /// active view and some others beyond.
    pub fn push_peers(&mut self) -> Vec<NodeId> {
        let reachable = |node: &NodeId| self.table.state(*node) != Some(MemberState::Left);
        let peers = self.peers.iter().copied().filter(reachable);
        if self.view.is_full_mesh() || self.peers.len() <= self.config.push_fanout {
            return peers.collect();
        }
        let (mut chosen, mut others): (Vec<NodeId>, Vec<NodeId>) =
            peers.partition(|node| self.view.wants(*node) || self.choosers.contains(node));
        while chosen.len() < self.config.push_fanout && !others.is_empty() {
            let index = self.rng.random_range(0..others.len());
            chosen.push(others.swap_remove(index));
        }
        chosen
    }

    fn take(&mut self, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Seeds { seeds } => {
                self.dialer.set_seeds(seeds, &self.me.identity.addresses, self.now);
                self.connections_changed = true;
            }
            Input::Connected { peer } => self.connected(peer, out),
            Input::Disconnected { peer, loss } => self.disconnected(peer, loss),
            Input::Wanted { peer } => self.wanted(peer),
            Input::ProcessGone { peer } => self.process_gone(peer, out),
            Input::AddressTaken { by, former } => self.address_taken(by, former, out),
            Input::Dialled { dial, outcome } => self.dialled(dial, outcome, out),
            Input::Message { from, message } => self.message(from, message, out),
            Input::Left { from, leave } => self.left(from, leave, out),
            Input::Leave { signed } => {
                let to: Vec<NodeId> = self.peers.iter().copied().collect();
                if !to.is_empty() {
                    out.push(Output::SendMany { to, message: Message::Leave(signed) });
                }
                self.phase = Phase::Left;
            }
            Input::Load { load } => self.load = load,
            Input::Timer(Timer) => self.armed = self.armed.filter(|at| *at > self.now),
        }
    }

    fn message(&mut self, from: NodeId, message: Message, out: &mut Vec<Output>) {
        let now = self.now;
        if from == self.own_id.node {
            self.counters.malformed += 1;
            return;
        }
        let Some(entry) = self.table.get_mut(from) else {
            self.counters.unknown_sender += 1;
            return;
        };
        entry.heard = now;
        match entry.member.state {
            MemberState::Left => return,
            MemberState::Down => {
                self.tell_it_is_down(from, out);
                // What a node believed before it was cut off is stale. What it says about itself brings it back, and
                // what it says about us may be that it holds us for Down in turn.
                let me = self.own_id.node;
                let own = |rows: Vec<Row>| {
                    rows.into_iter().filter(|row| row.node == from || row.node == me).collect()
                };
                match message {
                    Message::News(rows) | Message::Table { rows, .. } => {
                        self.learn(own(rows), Origin::News(from), out);
                    }
                    Message::Swim(packet) | Message::Answer { packet, .. } => self.packet(from, &packet, out),
                    Message::Leave(_) => self.counters.bad_leave += 1,
                    Message::Compare { .. }
                    | Message::Parts(_)
                    | Message::Chosen
                    | Message::WantLeaves(_) => {}
                }
                return;
            }
            MemberState::Alive | MemberState::Suspect => {}
        }
        match message {
            Message::Swim(packet) | Message::Answer { packet, .. } => self.packet(from, &packet, out),
            Message::News(rows) => self.learn(rows, Origin::News(from), out),
            Message::Compare { hash } => self.compare(from, hash, out),
            Message::Chosen => {
                self.choosers.insert(from);
            }
            Message::Parts(theirs) => self.parts(from, &theirs, out),
            Message::Table { after, until, rows } => self.table_from(from, after, until, rows, out),
            Message::WantLeaves(nodes) => self.send_leaves(from, nodes, out),
            Message::Leave(_) => self.counters.bad_leave += 1,
        }
    }

    /// A node that was stopped (or whose driver was) must not take its own sleep for the silence of others. What
    /// waits in its sockets is handled before anything is due: everything moves by the lateness and one round trip.
    fn notice_sleep(&mut self, out: &mut Vec<Output>) {
        let Some(due) = self.schedule.next() else { return };
        let lateness = self.now.since(due);
        if lateness <= self.config.late_after {
            return;
        }
        self.counters.late += 1;
        self.health.worse();
        self.schedule.shift(lateness + self.config.probe_rtt);
        // Who slept too long is held for Down; one comparison is enough to be told so and to return.
        self.compare_with_one(out);
    }

    fn do_what_is_due(&mut self, out: &mut Vec<Output>) {
        while let Some(task) = self.schedule.pop_due(self.now) {
            match task {
                Task::Swim(timer) => self.swim_timer(timer, out),
                Task::Repair => {
                    self.compare_with_one(out);
                    self.plan_repair();
                }
                Task::SendNews => {
                    self.send_news(out);
                }
            }
        }
        while let Some(node) = self.schedule.pop_suspicion(self.now) {
            self.suspicion_over(node, out);
        }
    }

    /// Sends what changed, starts dials, and sees to being woken.
    fn settle(&mut self, out: &mut Vec<Output>) {
        if self.news.is_urgent() {
            self.send_news(out);
        } else if self.news.plan() {
            self.schedule.add(self.now + self.config.news_delay, Task::SendNews);
        }
        if std::mem::take(&mut self.connections_changed) {
            self.review_connections();
            self.tell_chosen(out);
        }
        self.dialer.step(self.now, &self.config, &mut self.rng, out);
        // Later, too: an answered probe has nothing to be woken for until the next one.
        let next = self.schedule.next().into_iter().chain(self.dialer.next(&self.config)).min();
        if let Some(at) = next
            && self.armed != Some(at)
        {
            self.armed = Some(at);
            out.push(Output::SetTimer { timer: Timer, at });
        }
    }

    fn send_news(&mut self, out: &mut Vec<Output>) {
        if self.news.is_empty() {
            return;
        }
        let peers = self.push_peers();
        let own = self.own_row();
        let row = |node| if node == own.node { Some(own.clone()) } else { Some(self.table.get(node)?.row()) };
        // A member that left meanwhile speaks through its signed leave, never through a row.
        let row = |node| row(node).filter(|row| row.state != RowState::Left);
        self.news.send(&peers, row, out);
    }

    /// This node as it travels.
    pub(crate) fn own_row(&self) -> Row {
        Row {
            node: self.own_id.node,
            incarnation: self.own_id.incarnation,
            generation: self.own_id.generation,
            refutation: self.own_refutation,
            state: RowState::Alive,
            addresses: self.me.identity.addresses.clone(),
        }
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("me", &self.own_id)
            .field("members", &self.table.entries.len())
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}
