//! When to dial whom: back-off with jitter, a few dials in flight, seeds for ever.
//!
//! The dialer knows no membership: it is told whom to dial (`want`) and whom no longer (`forget`), and answers with
//! [`Output::Dial`]. Back-off: `dial_backoff_first` doubling to `dial_backoff_max`, of which three to four quarters are
//! waited, so that nodes that lost each other together do not dial together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mpreg_types::{Defect, NodeId, Time};
use rand::RngExt;

use crate::{Addresses, Config, DialId, DialOutcome, Output};

/// Who is dialled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// An address to join through.
    Seed(Addresses),
    /// A member.
    Member(NodeId),
}

#[derive(Debug, Clone)]
struct Attempt {
    addresses: Addresses,
    /// When to dial next; `Time::MAX`: it needs no dial now.
    at: Time,
    failures: u32,
    in_flight: bool,
    /// For messages only: one failure and it is forgotten.
    on_demand: bool,
    /// The connection before this dial ended abruptly: a refusal proves process death. A dial that fails in another way
    /// leaves it to the next one: the listener of a dying process may still take a connection, and reset it.
    after_abrupt_loss: bool,
    /// Who answered at a seed, or in place of a member.
    answered_by: Option<NodeId>,
}

#[derive(Debug, Clone)]
struct Flight {
    target: Target,
    started: Time,
    gives_up: Time,
}

/// What a finished dial means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to conclude.
    Nothing,
    /// The member could not be reached that many times in a row.
    Unreachable { node: NodeId, failures: u32, on_demand: bool },
    /// The member's process is dead.
    ProcessGone { node: NodeId },
    /// The member's address belongs to another node now.
    AddressTaken { by: NodeId, former: NodeId },
}

/// The dials to come and the dials in flight.
#[derive(Debug, Default)]
pub(crate) struct Dialer {
    targets: BTreeMap<Target, Attempt>,
    in_flight: BTreeMap<DialId, Flight>,
    last: u64,
}

impl Dialer {
    /// Replaces the list of seeds; known ones keep their back-off. `own` addresses are left out.
    pub(crate) fn set_seeds(&mut self, seeds: Vec<Addresses>, own: &Addresses, now: Time) {
        let wanted: BTreeSet<Target> = seeds
            .into_iter()
            .filter(|seed| !seed.is_empty() && !seed.iter().any(|address| own.contains(address)))
            .map(Target::Seed)
            .collect();
        self.targets.retain(|target, _| matches!(target, Target::Member(_)) || wanted.contains(target));
        for target in wanted {
            if let Target::Seed(addresses) = &target {
                let attempt = Attempt::new(addresses.clone(), now);
                self.targets.entry(target).or_insert(attempt);
            }
        }
    }

    /// True for who answers at a seed: that connection is kept.
    pub(crate) fn is_seed(&self, node: NodeId) -> bool {
        let seeds = self.targets.iter().filter(|(target, _)| matches!(target, Target::Seed(_)));
        seeds.into_iter().any(|(_, seed)| seed.answered_by == Some(node))
    }

    /// Seeds where a connected peer answers need no dial; others are dialled for ever.
    pub(crate) fn check_seeds(&mut self, now: Time, is_peer: impl Fn(&Addresses, Option<NodeId>) -> bool) {
        for (target, attempt) in &mut self.targets {
            if !matches!(target, Target::Seed(_)) {
                continue;
            }
            if is_peer(&attempt.addresses, attempt.answered_by) {
                attempt.at = Time::MAX;
                attempt.failures = 0;
            } else if attempt.at == Time::MAX {
                attempt.at = now;
            }
        }
    }

    /// Members whose address a connected peer has taken over need no dial: each would be one more handshake with that.
    /// They are dialled again when it is gone.
    pub(crate) fn check_taken(&mut self, now: Time, is_peer: impl Fn(NodeId) -> bool) {
        for (target, attempt) in &mut self.targets {
            let (Target::Member(_), Some(by)) = (target, attempt.answered_by) else { continue };
            if is_peer(by) {
                attempt.at = Time::MAX;
            } else if attempt.at == Time::MAX {
                attempt.at = now;
                attempt.answered_by = None;
            }
            // One that did not rest keeps its back-off: who answers there becomes a peer in a moment, or never.
        }
    }

    /// Dials `node` at `at` and, after failures, again; a dial planned already stays as it is.
    pub(crate) fn want(&mut self, node: NodeId, addresses: &Addresses, at: Time) {
        let attempt =
            self.targets.entry(Target::Member(node)).or_insert_with(|| Attempt::new(addresses.clone(), at));
        if attempt.addresses != *addresses {
            attempt.addresses.clone_from(addresses);
            attempt.answered_by = None;
            attempt.at = attempt.at.min(at);
        }
        attempt.on_demand = false;
    }

    /// Something speaks for `node` being reachable now: dials it at once, its failures forgotten.
    pub(crate) fn hurry(&mut self, node: NodeId, now: Time) {
        if let Some(attempt) = self.targets.get_mut(&Target::Member(node)) {
            attempt.at = now;
            attempt.failures = 0;
        }
    }

    /// The connection to `node` ended without goodbye: the next dial decides whether its process died.
    pub(crate) fn lost_abruptly(&mut self, node: NodeId) {
        if let Some(attempt) = self.targets.get_mut(&Target::Member(node)) {
            attempt.after_abrupt_loss = true;
        }
    }

    /// There is a message for `node`: dials it once, unless a dial is planned or in flight.
    pub(crate) fn demand(&mut self, node: NodeId, addresses: &Addresses, now: Time) {
        self.targets
            .entry(Target::Member(node))
            .or_insert_with(|| Attempt { on_demand: true, ..Attempt::new(addresses.clone(), now) });
    }

    /// `node` is connected or not to be dialled; one that is dialled for a message stays unless `also_on_demand`.
    pub(crate) fn forget(&mut self, node: NodeId, also_on_demand: bool) {
        let target = Target::Member(node);
        if self.targets.get(&target).is_some_and(|attempt| also_on_demand || !attempt.on_demand) {
            self.targets.remove(&target);
        }
    }

    /// Starts what is due, as far as there is room. Dials that were never answered free their place.
    pub(crate) fn step(&mut self, now: Time, config: &Config, rng: &mut impl RngExt, out: &mut Vec<Output>) {
        while let Some(dial) = self.in_flight.iter().find(|(_, f)| f.gives_up <= now).map(|(dial, _)| *dial) {
            self.ended(dial, DialOutcome::Failed, now, config, rng);
        }
        while self.in_flight.len() < config.dials_max {
            let due = |attempt: &Attempt| !attempt.in_flight && attempt.at <= now;
            let next = self.targets.iter_mut().filter(|(_, attempt)| due(attempt)).min_by_key(|(_, a)| a.at);
            let Some((target, attempt)) = next else { return };
            attempt.in_flight = true;
            self.last += 1;
            let dial = DialId(self.last);
            let gives_up = now + config.dial_timeout;
            let expect = match target {
                Target::Seed(_) => None,
                Target::Member(node) => Some(*node),
            };
            let (target, addresses) = (target.clone(), attempt.addresses.clone());
            for other in self.housemates(&target, &addresses) {
                other.at = other.at.max(gives_up);
            }
            out.push(Output::Dial { dial, expect, addresses });
            self.in_flight.insert(dial, Flight { target, started: now, gives_up });
        }
    }

    /// Other members that are said to be where `dialled` is, and were not found there before: as when a process is
    /// started at one address again and again, each time with a new key. One dial is enough for all of them.
    fn housemates(&mut self, dialled: &Target, at: &Addresses) -> impl Iterator<Item = &mut Attempt> {
        let is_member = matches!(dialled, Target::Member(_));
        let others = self.targets.iter_mut().filter(move |(target, _)| {
            is_member && matches!(target, Target::Member(_)) && *target != dialled
        });
        let waits = |other: &Attempt| {
            other.failures > 0 && !other.in_flight && !other.on_demand && !other.after_abrupt_loss
        };
        others.map(|(_, other)| other).filter(move |other| waits(other) && other.addresses == *at)
    }

    /// A dial ended. One that is not in flight (any more) changes nothing.
    pub(crate) fn ended(
        &mut self,
        dial: DialId,
        outcome: DialOutcome,
        now: Time,
        config: &Config,
        rng: &mut impl RngExt,
    ) -> Verdict {
        let Some(flight) = self.in_flight.remove(&dial) else { return Verdict::Nothing };
        let Some(attempt) = self.targets.get_mut(&flight.target) else { return Verdict::Nothing };
        attempt.in_flight = false;
        attempt.failures = attempt.failures.saturating_add(1);
        // From start to start, so that a dial into a black hole does not lengthen the longest back-off.
        attempt.at = now.max(flight.started + backoff(attempt.failures, config, rng));
        let abrupt = attempt.after_abrupt_loss;
        attempt.after_abrupt_loss &= outcome == DialOutcome::Failed;
        attempt.answered_by = match (&flight.target, outcome) {
            (Target::Seed(_), DialOutcome::Connected { node }) => Some(node),
            (Target::Seed(_), _) => attempt.answered_by,
            (Target::Member(_), DialOutcome::OtherNode { found }) => Some(found),
            (Target::Member(_), _) => None,
        };
        let (failures, on_demand) = (attempt.failures, attempt.on_demand);
        let addresses = attempt.addresses.clone();
        for other in self.housemates(&flight.target, &addresses) {
            match outcome {
                DialOutcome::Connected { node: found } | DialOutcome::OtherNode { found } => {
                    other.answered_by = Some(found);
                }
                DialOutcome::Refused | DialOutcome::Failed | DialOutcome::Myself => {
                    other.failures = other.failures.saturating_add(1);
                    other.at = now.max(flight.started + backoff(other.failures, config, rng));
                }
            }
        }
        match (flight.target, outcome) {
            (target @ Target::Seed(_), DialOutcome::Myself) => {
                self.targets.remove(&target);
                Verdict::Nothing
            }
            (Target::Seed(_), _) | (Target::Member(_), DialOutcome::Connected { .. }) => Verdict::Nothing,
            (Target::Member(node), DialOutcome::Failed)
                if abrupt && Defect::MembershipTakesSilenceForRefusal.is_in() =>
            {
                Verdict::ProcessGone { node }
            }
            (Target::Member(node), DialOutcome::Refused) if abrupt => Verdict::ProcessGone { node },
            (Target::Member(former), DialOutcome::OtherNode { found }) => {
                Verdict::AddressTaken { by: found, former }
            }
            (Target::Member(node), _) => {
                if on_demand {
                    self.targets.remove(&Target::Member(node));
                }
                Verdict::Unreachable { node, failures, on_demand }
            }
        }
    }

    /// When there is something to start or to give up next.
    pub(crate) fn next(&self, config: &Config) -> Option<Time> {
        let gives_up = self.in_flight.values().map(|flight| flight.gives_up);
        let room = self.in_flight.len() < config.dials_max;
        let starts = self.targets.values().filter(|a| room && !a.in_flight).map(|attempt| attempt.at);
        gives_up.chain(starts).min().filter(|at| *at < Time::MAX)
    }
}

impl Attempt {
    fn new(addresses: Addresses, at: Time) -> Self {
        Self {
            addresses,
            at,
            failures: 0,
            in_flight: false,
            on_demand: false,
            after_abrupt_loss: false,
            answered_by: None,
        }
    }
}

/// Doubling from the first to the longest, and three to four quarters of that.
fn backoff(failures: u32, config: &Config, rng: &mut impl RngExt) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = config.dial_backoff_first.saturating_mul(1 << doublings).min(config.dial_backoff_max);
    full * rng.random_range(750..=1000) / 1000
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    fn addresses(text: &str) -> Addresses {
        Addresses::new(vec![text.to_owned()]).unwrap()
    }

    struct Fixture {
        dialer: Dialer,
        config: Config,
        rng: SmallRng,
        now: Time,
    }

    impl Fixture {
        fn new() -> Self {
            let rng = SmallRng::seed_from_u64(7);
            Self { dialer: Dialer::default(), config: Config::lan(), rng, now: Time::ZERO }
        }

        fn dials(&mut self) -> Vec<DialId> {
            let mut out = Vec::new();
            self.dialer.step(self.now, &self.config, &mut self.rng, &mut out);
            out.iter()
                .map(|output| match output {
                    Output::Dial { dial, .. } => *dial,
                    other => panic!("{other:?}"),
                })
                .collect()
        }

        fn end(&mut self, dial: DialId, outcome: DialOutcome) -> Verdict {
            self.dialer.ended(dial, outcome, self.now, &self.config, &mut self.rng)
        }

        fn wait(&mut self) -> Duration {
            let next = self.dialer.next(&self.config).expect("something is planned");
            let waited = next.since(self.now);
            self.now = next;
            waited
        }
    }

    #[test]
    fn the_back_off_doubles_to_five_seconds_with_jitter() {
        let mut fixture = Fixture::new();
        fixture.dialer.want(node(1), &addresses("a"), Time::ZERO);
        let mut waits = Vec::new();
        for _ in 0..10 {
            let dials = fixture.dials();
            assert_eq!(dials.len(), 1);
            fixture.end(dials[0], DialOutcome::Refused);
            waits.push(fixture.wait());
        }
        for (index, wait) in waits.iter().enumerate() {
            let full = Duration::from_millis(100 << index).min(Duration::from_secs(5));
            assert!(*wait <= full && *wait >= full * 3 / 4, "{index}: {wait:?} of {full:?}");
        }
    }

    #[test]
    fn at_most_four_dials_are_in_flight_and_lost_ones_free_their_place() {
        let mut fixture = Fixture::new();
        for byte in 0..10 {
            fixture.dialer.want(node(byte), &addresses("a"), Time::ZERO);
        }
        assert_eq!(fixture.dials().len(), 4);
        assert_eq!(fixture.dials().len(), 0);
        assert_eq!(fixture.wait(), fixture.config.dial_timeout);
        assert_eq!(fixture.dials().len(), 4);
    }

    #[test]
    fn a_refused_redial_proves_death_only_after_an_abrupt_loss() {
        let mut fixture = Fixture::new();
        fixture.dialer.want(node(1), &addresses("a"), Time::ZERO);
        let dial = fixture.dials()[0];
        let unreachable = Verdict::Unreachable { node: node(1), failures: 1, on_demand: false };
        assert_eq!(fixture.end(dial, DialOutcome::Refused), unreachable);
        fixture.dialer.lost_abruptly(node(1));
        fixture.dialer.hurry(node(1), fixture.now);
        let dial = fixture.dials()[0];
        assert_eq!(fixture.end(dial, DialOutcome::Refused), Verdict::ProcessGone { node: node(1) });
        assert_eq!(fixture.end(dial, DialOutcome::Refused), Verdict::Nothing);
    }

    #[test]
    fn a_redial_that_a_dying_listener_still_took_leaves_the_verdict_to_the_next() {
        let mut fixture = Fixture::new();
        fixture.dialer.want(node(1), &addresses("a"), Time::ZERO);
        fixture.dialer.lost_abruptly(node(1));
        for failures in 1..3 {
            let dial = fixture.dials()[0];
            let unreachable = Verdict::Unreachable { node: node(1), failures, on_demand: false };
            assert_eq!(fixture.end(dial, DialOutcome::Failed), unreachable);
            fixture.wait();
        }
        let dial = fixture.dials()[0];
        assert_eq!(fixture.end(dial, DialOutcome::Refused), Verdict::ProcessGone { node: node(1) });
    }

    #[test]
    fn a_seed_is_dialled_for_ever_unless_a_peer_answers_there_or_it_is_ourselves() {
        let mut fixture = Fixture::new();
        let own = addresses("me");
        fixture.dialer.set_seeds(vec![addresses("a"), addresses("me")], &own, Time::ZERO);
        for _ in 0..1000 {
            let dials = fixture.dials();
            assert_eq!(dials.len(), 1);
            fixture.end(dials[0], DialOutcome::Failed);
            assert!(fixture.wait() <= Duration::from_secs(5));
        }
        fixture.dialer.check_seeds(fixture.now, |_, _| true);
        assert_eq!(fixture.dialer.next(&fixture.config), None);
        fixture.dialer.check_seeds(fixture.now, |_, _| false);
        let dial = fixture.dials()[0];
        fixture.end(dial, DialOutcome::Myself);
        assert_eq!(fixture.dialer.next(&fixture.config), None);
    }

    #[test]
    fn a_dial_for_a_message_is_made_once() {
        let mut fixture = Fixture::new();
        fixture.dialer.demand(node(1), &addresses("a"), Time::ZERO);
        fixture.dialer.forget(node(1), false);
        let dial = fixture.dials()[0];
        let once = Verdict::Unreachable { node: node(1), failures: 1, on_demand: true };
        assert_eq!(fixture.end(dial, DialOutcome::Failed), once);
        assert_eq!(fixture.dialer.next(&fixture.config), None);
    }

    #[test]
    fn another_node_at_the_address_is_reported() {
        let mut fixture = Fixture::new();
        fixture.dialer.want(node(1), &addresses("a"), Time::ZERO);
        let dial = fixture.dials()[0];
        let taken = Verdict::AddressTaken { by: node(2), former: node(1) };
        assert_eq!(fixture.end(dial, DialOutcome::OtherNode { found: node(2) }), taken);
    }

    #[test]
    fn a_taken_address_is_dialled_again_when_its_new_holder_is_gone_or_the_member_has_another() {
        let mut fixture = Fixture::new();
        for address in ["a", "b"] {
            fixture.dialer.want(node(1), &addresses(address), fixture.now);
            let dial = fixture.dials()[0];
            fixture.end(dial, DialOutcome::OtherNode { found: node(2) });
            fixture.dialer.check_taken(fixture.now, |peer| peer == node(2));
            assert_eq!(fixture.dialer.next(&fixture.config), None);
            fixture.dialer.want(node(1), &addresses(address), fixture.now);
            assert_eq!(fixture.dials(), []);
        }
        fixture.dialer.check_taken(fixture.now, |_| false);
        let dial = fixture.dials()[0];
        fixture.end(dial, DialOutcome::OtherNode { found: node(2) });
        fixture.dialer.check_taken(fixture.now, |_| false);
        assert_eq!(fixture.dials(), [], "after its back-off only");
        assert!(fixture.wait() > Duration::ZERO);
    }

    #[test]
    fn one_dial_is_enough_for_all_that_were_at_an_address_before() {
        let mut fixture = Fixture::new();
        for byte in 1..=8 {
            fixture.dialer.want(node(byte), &addresses("a"), Time::ZERO);
        }
        while let [first, ..] = fixture.dials()[..] {
            fixture.end(first, DialOutcome::Refused);
        }
        fixture.now = Time::from_millis(5_000);
        let all = fixture.dials();
        assert!(all.len() <= 1, "{all:?}");
        for dial in all {
            fixture.end(dial, DialOutcome::OtherNode { found: node(9) });
        }
        fixture.dialer.check_taken(fixture.now, |peer| peer == node(9));
        assert_eq!(fixture.dialer.next(&fixture.config), None, "all rest while it is there");
    }
}
