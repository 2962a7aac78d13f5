//! The mesh: places, the network between them, and one agenda of everything that will happen.

mod boot;
mod carrying;
mod control;
mod data;
mod desk;
mod dialling;
mod faults;
mod graph_calls;
mod graph_desk;
mod parting;
mod queries;
mod streams;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mpreg_engine::{Config, MemberChange};
use mpreg_types::{ConnectionId, NodeId, Time};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::agenda::Agenda;
use crate::history::History;
use crate::item::{Item, Spot};
use crate::ledger::Ledger;
use crate::links::Links;
use crate::place::Place;
use crate::trace::Trace;
use crate::wire::Wire;

pub use boot::Offer;
pub(crate) use parting::Leaving;
pub(crate) use streams::{Reading, WORK_STREAM};
pub use work::Habits;
pub(crate) use work::{WORK_AGAIN, WORK_ONCE};

/// A whole mesh in virtual time.
#[derive(Debug)]
pub struct World {
    /// Now.
    pub now: Time,
    /// The network; faults are put in here.
    pub links: Links,
    /// How handlers behave.
    pub habits: Habits,
    /// Shortest and longest time that a graph is given.
    pub graph_time: (Duration, Duration),
    /// Dials that calls asked for.
    pub wanted: u64,
    /// What became of every call.
    pub ledger: Ledger,
    /// What every owner ever offered.
    pub history: History,
    /// What engines told of their members, while `records` is set.
    pub observed: Vec<Observed>,
    /// False: `observed` stays empty, for large meshes.
    pub records: bool,
    pub(crate) config: Config,
    pub(crate) places: Vec<Place>,
    pub(crate) by_id: BTreeMap<NodeId, usize>,
    pub(crate) wires: BTreeMap<ConnectionId, Wire>,
    pub(crate) trace: Trace,
    agenda: Agenda<Item>,
    rng: SmallRng,
    last_wire: u64,
    last_stamp: u64,
}

/// One thing that an engine told of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// When.
    pub at: Time,
    /// Place of the engine.
    pub by: usize,
    /// Place of the member.
    pub of: usize,
    /// What.
    pub change: MemberChange,
}

impl World {
    /// `nodes` places for nodes and `clients` for clients (which come after them), no process running.
    pub fn new(nodes: usize, clients: usize, seed: u64) -> Self {
        let mut world = Self {
            // A clock that does not begin at 0, as none does.
            now: Time::from_millis(1_000),
            links: Links::new(),
            habits: Habits::default(),
            graph_time: (Duration::from_millis(100), Duration::from_secs(3)),
            ledger: Ledger::default(),
            history: History::default(),
            observed: Vec::new(),
            records: true,
            config: Config::lan(),
            places: Vec::new(),
            by_id: BTreeMap::new(),
            wires: BTreeMap::new(),
            trace: Trace::new(),
            agenda: Agenda::new(),
            rng: SmallRng::seed_from_u64(seed),
            last_wire: 0,
            wanted: 0,
            last_stamp: 0,
        };
        for number in 0..nodes + clients {
            let place = Place::new(number, seed, number >= nodes);
            world.by_id.insert(place.id, number);
            world.places.push(place);
            world.links.add_place();
        }
        world
    }

    /// `nodes` nodes that know each other, all told of node 0, and clients beside them.
    pub fn converged(nodes: usize, clients: usize, seed: u64) -> Result<Self, crate::Violation> {
        let mut world = Self::new(nodes, clients, seed);
        for place in 0..nodes {
            world.start(place, &[0]);
            world.offer(place, &Offer::new(&format!("of.{place}")));
        }
        crate::oracle::converges(&mut world, Duration::from_secs(10))?;
        for place in nodes..nodes + clients {
            world.start(place, &[]);
        }
        // Every second connection of a double dial goes, and clients find their entry.
        world.run(Duration::from_millis(2_500));
        world.observed.clear();
        Ok(world)
    }

    /// Runs for `duration`.
    pub fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some((at, item)) = self.agenda.pop(until) {
            self.now = self.now.max(at);
            self.due(item);
        }
        self.now = until;
    }

    /// Uniform between 0 and `bound`, which is left out.
    pub fn random(&mut self, bound: u64) -> u64 {
        self.rng.random_range(0..bound.max(1))
    }

    /// A random duration below `most`.
    pub fn random_time(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random(micros))
    }

    /// One of a list that is not empty.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        let at = self.random(list.len() as u64);
        list[usize::try_from(at).unwrap_or(0)]
    }

    /// What happened so far, as a fingerprint.
    pub fn trace(&self) -> Trace {
        self.trace
    }

    pub(crate) fn after(&mut self, duration: Duration, item: Item) {
        self.agenda.add(self.now + duration, item);
    }

    pub(crate) fn at(&mut self, at: Time, item: Item) {
        self.agenda.add(at.max(self.now), item);
    }

    pub(crate) fn is_there(&self, spot: Spot) -> bool {
        self.places[spot.place].process.as_ref().is_some_and(|process| process.start == spot.start)
    }

    fn due(&mut self, item: Item) {
        if let Some(place) = self.whose(&item)
            && self.places[place].paused
        {
            self.places[place].waiting.push(item);
        } else {
            self.happen(item);
        }
    }

    /// The process that has to act, if one has: a paused one does not.
    fn whose(&self, item: &Item) -> Option<usize> {
        match item {
            Item::Timer(spot, _)
            | Item::Tick(spot)
            | Item::DialEnds(spot, ..)
            | Item::Retired(spot, _)
            | Item::CloseIdle(spot, _)
            | Item::CloseTimesOut(spot, _)
            | Item::Leaves(spot, ..)
            | Item::Wanted(spot, _)
            | Item::JobBegins(spot, _)
            | Item::JobEnds(spot, _)
            | Item::Call(spot)
            | Item::Stream(spot)
            | Item::Make(spot, _)
            | Item::Read(spot, _)
            | Item::Graph(spot)
            | Item::Desk(spot)
            | Item::GiveUp(spot, _)
            | Item::ClientDials(spot) => Some(spot.place),
            Item::Flush { wire, side } => self.wires.get(wire).map(|wire| wire.ends[*side].place),
            Item::Deliver { wire, side } => self.wires.get(wire).map(|wire| wire.ends[1 - *side].place),
            Item::Resend { .. }
            | Item::Dial { .. }
            | Item::Handshake { .. }
            | Item::DialTimesOut { .. }
            | Item::Resume(_) => None,
        }
    }

    pub(crate) fn happen(&mut self, item: Item) {
        match item {
            Item::Timer(spot, timer) => self.timer(spot, timer),
            Item::Tick(spot) => self.tick(spot),
            Item::Flush { wire, side } => self.flush(wire, side),
            Item::Deliver { wire, side } => self.deliver(wire, side),
            Item::Resend { wire, side } => self.resend(wire, side),
            Item::Dial { from, why, addresses } => self.dial_arrives(from, why, &addresses),
            Item::Handshake { wire } => self.handshake(wire),
            Item::DialEnds(spot, why, outcome) => self.dial_ends(spot, why, outcome),
            Item::DialTimesOut { wire } => self.dial_times_out(wire),
            Item::Retired(spot, wire) => self.close_retired(spot, wire),
            Item::CloseIdle(spot, wire) => self.close_idle(spot, wire),
            Item::CloseTimesOut(spot, wire) => self.close_times_out(spot, wire),
            Item::Leaves(spot, leaving, until) => self.leaves(spot, leaving, until),
            Item::Wanted(spot, node) => {
                if self.is_there(spot) {
                    self.hear(spot.place, mpreg_engine::Input::Wanted { node });
                }
            }
            Item::JobBegins(spot, job) => self.job_begins(spot, job),
            Item::JobEnds(spot, job) => self.job_ends(spot, job),
            Item::Call(spot) => self.call(spot, false),
            Item::Stream(spot) => self.call(spot, true),
            Item::Make(spot, job) => self.make_item(spot, job),
            Item::Read(spot, key) => self.read_item(spot, key),
            Item::Graph(spot) => self.run_graph(spot),
            Item::Desk(spot) => {
                if self.is_there(spot) {
                    self.desk_turn(spot.place);
                }
            }
            Item::GiveUp(spot, key) => self.give_up(spot, key),
            Item::ClientDials(spot) => self.client_dials(spot),
            Item::Resume(place) => self.resume(place),
        }
    }
}

/// Places that are not any of `others`.
pub(crate) fn except(places: impl IntoIterator<Item = usize>, others: &[usize]) -> BTreeSet<usize> {
    places.into_iter().filter(|place| !others.contains(place)).collect()
}
