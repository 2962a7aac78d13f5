//! Whatever the network does to an owner's batches, a receiver holds one of the owner's states, and at last the newest.

use std::collections::BTreeMap;
use std::time::Duration;

use mpreg_types::{ClusterId, Signed};
use proptest::prelude::*;

use super::function;
use super::mesh::Mesh;
use super::signing::verify;
use crate::batch::Batch;
use crate::{Config, EntryKey, EntryValue, Input};

const OWNER: usize = 0;
const RECEIVER: usize = 1;
/// Gets everything as it happens, and serves as a relay.
const RELAY: usize = 2;

#[derive(Debug, Clone)]
enum Op {
    Put { name: u8, doc_bytes: usize },
    Remove { name: u8 },
    Cut,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let put = (0_u8..6, prop_oneof![4 => 0_usize..200, 1 => 15_000_usize..25_000])
        .prop_map(|(name, doc_bytes)| Op::Put { name, doc_bytes });
    let op = prop_oneof![4 => put, 2 => (0_u8..6).prop_map(|name| Op::Remove { name }), 3 => Just(Op::Cut)];
    prop::collection::vec(op, 1..60)
}

type State = BTreeMap<EntryKey, (u64, EntryValue)>;

/// What happened at the owner.
struct History {
    mesh: Mesh,
    /// All it signed, in order.
    batches: Vec<Signed>,
    /// Its state at the version of each cut.
    states: BTreeMap<u64, State>,
}

/// Runs `ops` at an owner that owes snapshots early.
fn history(ops: &[Op]) -> History {
    let config = Config { snapshot_slack_bytes: 2 * 1024, ..Config::lan() };
    let mut mesh = Mesh::new(3, 1, config);
    mesh.connect(OWNER, RELAY);
    mesh.run_for(Duration::from_millis(20));
    mesh.recorded = Some(Vec::new());
    let mut states = BTreeMap::from([(0, State::new())]);
    for (index, op) in ops.iter().chain([&Op::Cut]).enumerate() {
        match op {
            Op::Put { name, doc_bytes } => {
                let doc = format!("{index} {}", "d".repeat(*doc_bytes));
                mesh.put(OWNER, function(&format!("f{name}"), &doc));
            }
            Op::Remove { name } => {
                let key = function(&format!("f{name}"), "").key();
                let owner = mesh.sites[OWNER].id;
                if mesh.sites[OWNER].catalog.entry(&owner, &key).is_some() {
                    mesh.input(OWNER, Input::Remove { key });
                }
            }
            Op::Cut => {
                mesh.run_for(Duration::from_millis(15));
                states.insert(mesh.sites[OWNER].catalog.own_version(), state(&mesh, OWNER));
            }
        }
    }
    let batches = mesh.recorded.take().unwrap();
    History { mesh, batches, states }
}

/// The owner's entries as `site` holds them.
fn state(mesh: &Mesh, site: usize) -> State {
    let owner = mesh.sites[OWNER].id;
    let entries = mesh.sites[site].catalog.entries(&owner);
    entries.map(|(key, version, value)| (key, (version, value))).collect()
}

/// How far the receiver is: version and version of its snapshot.
fn progress(mesh: &Mesh) -> (u64, u64) {
    let owner = mesh.sites[OWNER].id;
    let rows = mesh.sites[RECEIVER].catalog.digest_rows();
    rows.iter().find(|row| row.owner == owner).map_or((0, 0), |row| (row.version, row.snapshot))
}

impl History {
    fn deliver(&mut self, index: usize) {
        let from = self.mesh.sites[RELAY].id;
        let batches = vec![verify(self.batches[index].clone())];
        self.mesh.input(RECEIVER, Input::Batches { from, batches });
    }

    /// The invariant of the crate: what is held is the owner's state at one of its versions.
    fn check(&self) -> u64 {
        let (version, _) = progress(&self.mesh);
        if let Some(expected) = self.states.get(&version) {
            assert_eq!(&state(&self.mesh, RECEIVER), expected, "at version {version}");
        }
        version
    }

    fn repair(&mut self) {
        self.mesh.connect(RECEIVER, RELAY);
        self.mesh.run_until_converged(Duration::from_secs(2));
        self.mesh.check();
        assert_eq!(progress(&self.mesh), {
            let row = self.mesh.sites[OWNER].catalog.owners().next().unwrap().row;
            (row.version, row.snapshot)
        });
        assert_eq!(&state(&self.mesh, RECEIVER), self.states.values().next_back().unwrap());
    }
}

/// Indexes into a list of unknown length: lost, doubled and in any order.
fn deliveries() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_with_losses_and_doubles_converges_after_a_repair(ops in ops(), deliveries in deliveries()) {
        let mut history = history(&ops);
        let mut newest = 0;
        for index in deliveries.into_iter().filter(|_| !history.batches.is_empty()).collect::<Vec<_>>() {
            history.deliver(index.index(history.batches.len()));
            let version = history.check();
            prop_assert!(version >= newest, "the newest was lost");
            newest = version;
        }
        history.repair();
    }

    #[test]
    fn taking_a_batch_twice_changes_nothing(ops in ops()) {
        let mut history = history(&ops);
        for index in 0..history.batches.len() {
            history.deliver(index);
            let before = (progress(&history.mesh), state(&history.mesh, RECEIVER));
            let known = history.mesh.sites[RECEIVER].catalog.counters().batches_known;
            history.deliver(index);
            prop_assert_eq!(before, (progress(&history.mesh), state(&history.mesh, RECEIVER)));
            prop_assert_eq!(history.mesh.sites[RECEIVER].catalog.counters().batches_known, known + 1);
            history.check();
        }
        history.repair();
    }

    #[test]
    fn old_batches_replayed_resurrect_nothing(ops in ops(), deliveries in deliveries()) {
        let mut history = history(&ops);
        history.repair();
        let root = history.mesh.sites[RECEIVER].catalog.root();
        for index in deliveries.into_iter().filter(|_| !history.batches.is_empty()).collect::<Vec<_>>() {
            history.deliver(index.index(history.batches.len()));
        }
        prop_assert_eq!(history.mesh.sites[RECEIVER].catalog.root(), root);
        history.mesh.check();
    }

    #[test]
    fn a_snapshot_and_later_batches_commute(ops in ops(), delays in prop::collection::vec(0_usize..20, 80)) {
        let mut history = history(&ops);
        let cluster = ClusterId::parse("test").unwrap();
        let spans: Vec<_> = history.batches.iter()
            .map(|signed| Batch::parse(signed.clone(), &cluster).unwrap().span)
            .collect();
        // Batches keep their order, every part of a snapshot comes late by its own delay.
        let mut order: Vec<usize> = (0..spans.len()).collect();
        let late = |index: &usize| {
            let delay = if spans[*index].is_snapshot() { delays[index % delays.len()] } else { 0 };
            (index + delay, *index)
        };
        order.sort_by_key(late);
        for index in order {
            history.deliver(index);
            history.check();
        }
        let snapshot = spans.iter().filter(|span| span.is_snapshot()).map(|span| span.to).max().unwrap_or(0);
        let version = spans.iter().map(|span| span.to).max().unwrap_or(0);
        // A later snapshot may take the place of one still incomplete; the newest one is always whole.
        prop_assert_eq!(progress(&history.mesh), (version, snapshot));
        prop_assert_eq!(&state(&history.mesh, RECEIVER), history.states.values().next_back().unwrap());
        history.repair();
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let cluster = ClusterId::parse("test").unwrap();
        let history = history(&[Op::Put { name: 1, doc_bytes: 50 }, Op::Remove { name: 1 }]);
        let mut body = history.batches[0].body.to_vec();
        for (index, value) in flips {
            let index = index.index(body.len());
            body[index] = value;
        }
        let tagged = [&body[..16], &bytes[..]].concat();
        for body in [body, tagged] {
            let signed = Signed { body: body.into(), ..history.batches[0].clone() };
            let _ = Batch::parse(signed, &cluster);
        }
    }
}
