//! Every scenario with a fixed number of seeds. `MPREG_SIM_SEED=n` runs that seed alone.

use mpreg_sim::scenario;
use mpreg_sim::seeds::{self, Scenario};
use mpreg_types::{ErrorCode, Executed};

fn check(name: &str, scenario: Scenario, count: u64) {
    if let Err(why) = seeds::run(name, scenario, 1..=count) {
        panic!("{why}");
    }
}

macro_rules! scenarios {
    ($($name:ident: $seeds:literal,)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), scenario::$name, $seeds);
            }
        )*
    };
}

scenarios! {
    changes_reach_all: 3,
    split_and_heal: 3,
    nodes_come_and_go: 3,
    process_deaths: 4,
    silent_deaths: 4,
    one_stalls: 3,
    all_stall: 3,
    paused_for_long: 3,
    idle_mesh: 1,
    calls_without_faults: 4,
    calls_survive_chaos: 20,
    polite_leaves: 6,
    calls_beyond_the_full_mesh: 2,
    streams_without_faults: 4,
    streams_survive_chaos: 12,
    graphs: 12,
}

#[test]
fn fifty_nodes_keep_the_figures_of_the_design() {
    let report = scenario::scale(50, 1).unwrap();
    let second = std::time::Duration::from_secs(1);
    assert!(report.change < second, "{report}");
    assert!(report.death <= second * 2, "{report}");
    assert!(report.idle_bytes < 2_000, "{report}");
    // A change goes to everybody once, and little more is said about it.
    assert!((49..=150).contains(&report.change_frames), "{report}");
}

#[test]
fn the_chaos_reaches_what_it_is_made_for() {
    let (mut results, mut no, mut yes, mut unknown, mut again) = (0, 0, 0, 0, 0);
    for seed in 1..=8 {
        let world = scenario::chaos(seed).unwrap();
        let told =
            |executed| world.ledger.count(|ending| ending.error.is_some_and(|(_, told)| told == executed));
        results += world.ledger.count(|ending| ending.error.is_none());
        no += told(Executed::No);
        yes += told(Executed::Yes);
        unknown += told(Executed::Unknown);
        again += world.ledger.calls().filter(|(_, fate)| fate.executions.len() > 1).count();
    }
    let reached = results > 1_000 && no > 100 && yes > 100 && unknown > 30 && again > 10;
    assert!(reached, "{results} results, {no} no, {yes} yes, {unknown} unknown, {again} executed again");
}

#[test]
fn the_storm_of_graphs_reaches_what_it_is_made_for() {
    let (mut answers, mut failures, mut lost, mut again) = (0, 0, 0, 0);
    for seed in 1..=20 {
        let world = scenario::stormy_graphs(seed).unwrap();
        for (_, fate) in world.ledger.graphs() {
            let outcomes = || fate.endings.iter().map(|ending| &ending.outcome);
            answers += outcomes().filter(|outcome| outcome.is_ok()).count();
            let of_graph = |code| {
                outcomes()
                    .filter(|outcome| matches!(outcome, Err((_, Some(cause))) if code == *cause))
                    .count()
            };
            failures += of_graph(ErrorCode::ConnectionLost) + of_graph(ErrorCode::DeadlineExceeded);
            lost += of_graph(ErrorCode::ResultLost);
            again += fate.steps.iter().filter(|step| step.executions.len() > 1).count();
        }
    }
    let reached = answers > 200 && failures > 20 && lost > 3 && again > 3;
    assert!(
        reached,
        "{answers} answers, {failures} failures, {lost} lost results, {again} steps executed again"
    );
}
