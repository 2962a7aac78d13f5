use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Address;

/// Faults between the nodes of one process, for the test kit: cut, slow or break the way between two of them.
///
/// Nodes are told apart by a label of the kit's choice. The side that dialled holds the gate of a connection and
/// applies the fault to both directions: what it does not read or write is what the network does not carry. A cut is
/// silence, as when a cable is pulled: nothing is lost, nothing is refused, and all of it arrives after [`heal`].
///
/// [`heal`]: Faults::heal
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Rules>,
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct Rules {
    listeners: HashMap<String, Arc<str>>,
    cuts: HashSet<Pair>,
    delays: HashMap<Pair, Duration>,
    severed: HashMap<Pair, u64>,
    paused: HashSet<Arc<str>>,
    killed: HashMap<Arc<str>, Life>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Life {
    deaths: u64,
    dead: bool,
}

/// Two labels in one fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pair(Arc<str>, Arc<str>);

impl Pair {
    pub(crate) fn new(a: &Arc<str>, b: &Arc<str>) -> Self {
        if a <= b { Self(a.clone(), b.clone()) } else { Self(b.clone(), a.clone()) }
    }
}

/// What the way between two nodes is like right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Bytes pass, after this long.
    Open(Duration),
    /// Bytes stay where they are.
    Cut,
    /// The other process is gone: dialling is refused.
    Dead,
}

impl Faults {
    /// No faults yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Nothing passes between `a` and `b` until [`Self::heal`]; dials between them hang.
    pub fn cut(&self, a: &str, b: &str) {
        self.change(|rules| rules.cuts.insert(Pair::new(&a.into(), &b.into())));
    }

    /// Undoes [`Self::cut`] and [`Self::delay`] between `a` and `b`.
    pub fn heal(&self, a: &str, b: &str) {
        let pair = Pair::new(&a.into(), &b.into());
        self.change(|rules| (rules.cuts.remove(&pair), rules.delays.remove(&pair)));
    }

    /// Undoes every cut, delay and pause. The dead stay dead.
    pub fn heal_all(&self) {
        self.change(|rules| {
            rules.cuts.clear();
            rules.delays.clear();
            rules.paused.clear();
        });
    }

    /// Bytes between `a` and `b` take `delay` longer, in each direction.
    pub fn delay(&self, a: &str, b: &str, delay: Duration) {
        self.change(|rules| rules.delays.insert(Pair::new(&a.into(), &b.into()), delay));
    }

    /// Breaks the connections between `a` and `b`; new ones may be dialled at once.
    pub fn sever(&self, a: &str, b: &str) {
        self.change(|rules| *rules.severed.entry(Pair::new(&a.into(), &b.into())).or_default() += 1);
    }

    /// `node` is silent towards everybody, as a process stopped by SIGSTOP.
    pub fn pause(&self, node: &str) {
        self.change(|rules| rules.paused.insert(node.into()));
    }

    /// Undoes [`Self::pause`].
    pub fn resume(&self, node: &str) {
        self.change(|rules| rules.paused.remove(node));
    }

    /// Breaks every connection of `node` and refuses dials from and to it, as `kill -9` does.
    pub fn kill(&self, node: &str) {
        self.change(|rules| {
            let life = rules.killed.entry(node.into()).or_default();
            life.deaths += 1;
            life.dead = true;
        });
    }

    /// `node` may be dialled again.
    pub fn revive(&self, node: &str) {
        self.change(|rules| rules.killed.entry(node.into()).or_default().dead = false);
    }

    /// Tells that `address` is where `label` listens, so that dials to it are dials to that node.
    pub(crate) fn listens(&self, address: &Address, label: &Arc<str>) {
        self.rules.lock().listeners.insert(address.to_string(), label.clone());
    }

    pub(crate) fn label_of(&self, address: &Address) -> Option<Arc<str>> {
        self.rules.lock().listeners.get(&address.to_string()).cloned()
    }

    pub(crate) fn way(&self, pair: &Pair) -> Way {
        let rules = self.rules.lock();
        let dead = |label| rules.killed.get(label).is_some_and(|life| life.dead);
        if dead(&pair.0) || dead(&pair.1) {
            Way::Dead
        } else if rules.cuts.contains(pair)
            || rules.paused.contains(&pair.0)
            || rules.paused.contains(&pair.1)
        {
            Way::Cut
        } else {
            Way::Open(rules.delays.get(pair).copied().unwrap_or_default())
        }
    }

    /// Rises whenever the connections of `pair` break.
    pub(crate) fn breaks(&self, pair: &Pair) -> u64 {
        let rules = self.rules.lock();
        let deaths = |label| rules.killed.get(label).map_or(0, |life| life.deaths);
        rules.severed.get(pair).copied().unwrap_or(0) + deaths(&pair.0) + deaths(&pair.1)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Rules) -> T) {
        change(&mut self.rules.lock());
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Pair {
        Pair::new(&"b".into(), &"a".into())
    }

    #[test]
    fn a_cut_has_no_direction_and_heals() {
        let faults = Faults::new();
        faults.cut("a", "b");
        assert_eq!(faults.way(&pair()), Way::Cut);
        faults.heal("b", "a");
        assert_eq!(faults.way(&pair()), Way::Open(Duration::ZERO));
    }

    #[test]
    fn a_death_breaks_for_good_and_a_revival_lets_new_connections_in() {
        let faults = Faults::new();
        let before = faults.breaks(&pair());
        faults.kill("a");
        assert_eq!(faults.way(&pair()), Way::Dead);
        faults.revive("a");
        assert_eq!(faults.way(&pair()), Way::Open(Duration::ZERO));
        assert_ne!(faults.breaks(&pair()), before);
    }

    #[test]
    fn healing_all_leaves_the_dead_dead() {
        let faults = Faults::new();
        faults.pause("a");
        faults.kill("b");
        faults.heal_all();
        assert_eq!(faults.way(&pair()), Way::Dead);
        assert_eq!(faults.way(&Pair::new(&"a".into(), &"c".into())), Way::Open(Duration::ZERO));
    }
}
