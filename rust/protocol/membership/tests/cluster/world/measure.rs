//! Times until a cluster agrees, over many seeds.

use std::time::Duration;

use mpreg_membership::{Config, Event};
use mpreg_types::MemberState;

use super::World;

/// Measured durations, sorted.
#[derive(Debug)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn new(mut samples: Vec<Duration>) -> Self {
        assert!(!samples.is_empty());
        samples.sort();
        Self(samples)
    }

    /// The sample at `percent`.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }

    pub(crate) fn worst(&self) -> Duration {
        self.percentile(100)
    }
}

impl std::fmt::Display for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p90, p99) = (self.percentile(50), self.percentile(90), self.percentile(99));
        write!(f, "p50 {p50:.2?} p90 {p90:.2?} p99 {p99:.2?} worst {:.2?} of {}", self.worst(), self.0.len())
    }
}

const LIMIT: Duration = Duration::from_secs(12);

/// How the members of one cluster die, one after the other, and how long it takes until all others know.
/// Returns (suspected by all, down for all); nobody else may be harmed.
pub(crate) fn deaths(
    count: usize,
    victims: usize,
    seed: u64,
    die: fn(&mut World, usize),
) -> (Vec<Duration>, Vec<Duration>) {
    let mut world = World::converged(count, Config::lan(), seed);
    let (mut suspected, mut down) = (Vec::new(), Vec::new());
    for victim in 1..=victims {
        // Not always at the same moment of the probe cycles.
        world.run(Duration::from_millis(1000 + seed * 37 % 300));
        world.events.clear();
        die(&mut world, victim);
        let others: Vec<usize> = world.running().into_iter().filter(|o| *o > victim || *o == 0).collect();
        let avoided =
            |world: &World| others.iter().all(|o| world.state(*o, victim) != Some(MemberState::Alive));
        let dead = |world: &World| others.iter().all(|o| world.state(*o, victim) == Some(MemberState::Down));
        let first = world.run_until(LIMIT, avoided).expect("suspected by all");
        let second = world.run_until(LIMIT, dead).expect("down for all");
        suspected.push(first);
        down.push(first + second);
        let id = world.nodes[victim].id;
        let observed = |observer: &usize| *observer > victim || *observer == 0;
        let harmed = world.events.iter().any(|(_, observer, event)| {
            matches!(event, Event::Down { node } if *node != id) && observed(observer)
        });
        assert!(!harmed, "seed {seed}, victim {victim}: somebody else was held for Down");
    }
    (suspected, down)
}
