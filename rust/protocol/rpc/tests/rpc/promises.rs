//! What callers are promised, checked on thousands of calls over wires that break at any moment.

use std::time::Duration;

use mpreg_types::Executed;
use proptest::prelude::*;

use crate::fabric::Fabric;

/// Longest wait for the callee's word, a tick, and the ticks of the model.
const AFTER_DEADLINE: Duration = Duration::from_millis(104);

fn keeps_its_promises(fabric: &mut Fabric) -> Result<(), TestCaseError> {
    for (call, fate) in &fabric.fates {
        let expected = usize::from(!fate.cancelled);
        prop_assert_eq!(fate.completions.len(), expected, "{} completes once: {:?}", call, fate);
        prop_assert!(fate.idempotent || fate.executions <= 1, "{} was executed twice: {:?}", call, fate);
        for (at, outcome) in &fate.completions {
            let honest = match outcome {
                None | Some(Executed::Yes) => fate.executions > 0,
                Some(Executed::No) => fate.executions == 0,
                Some(Executed::Unknown) => true,
            };
            prop_assert!(honest, "{} says {:?}: {:?}", call, outcome, fate);
            prop_assert!(*at <= fate.deadline + AFTER_DEADLINE, "{} is late: {:?}", call, fate);
        }
    }
    fabric.assert_empty();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_once_executes_at_most_once_and_is_told_the_truth(
        seed in 1..u64::MAX,
        nodes in 1..5_usize,
        clients in 0..4_usize,
        calls in 1..150_usize,
        cuts in 0..25_usize,
        drain in any::<bool>(),
    ) {
        let mut fabric = Fabric::new(nodes, clients, seed);
        let cuts = if nodes + clients > 1 { cuts } else { 0 };
        fabric.load(calls, cuts, drain);
        fabric.run();
        keeps_its_promises(&mut fabric)?;
    }
}

#[test]
fn without_faults_and_with_time_enough_nothing_is_unknown() {
    let mut fabric = Fabric::new(3, 2, 5);
    fabric.load(60, 0, false);
    fabric.run();
    let unknown = |fate: &&crate::process::Fate| {
        fate.completions.iter().any(|(_, executed)| *executed == Some(Executed::Unknown))
    };
    assert_eq!(fabric.fates.values().filter(unknown).count(), 0);
    keeps_its_promises(&mut fabric).unwrap();
}

#[test]
fn the_model_reaches_what_it_is_made_for() {
    let (mut retries, mut relayed, mut outcomes) = (0, 0, [0_u32; 4]);
    for seed in 1..20 {
        let mut fabric = Fabric::new(3, 2, seed * 7919);
        fabric.load(150, 20, seed % 2 == 0);
        fabric.run();
        let sums = fabric.sums();
        retries += sums.0;
        relayed += sums.1;
        for (_, outcome) in fabric.fates.values().flat_map(|fate| &fate.completions) {
            let kind = match outcome {
                None => 0,
                Some(Executed::No) => 1,
                Some(Executed::Yes) => 2,
                Some(Executed::Unknown) => 3,
            };
            outcomes[kind] += 1;
        }
    }
    assert!(
        retries > 100 && relayed > 300 && outcomes.iter().all(|count| *count > 20),
        "{retries} {relayed} {outcomes:?}"
    );
}
