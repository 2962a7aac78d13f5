//! The oracles are proven: every defect that is put into shipped code on purpose is found by a scenario.
//! `cargo test -p mpreg-sim --features seeded-bugs --test seeded_bugs -- --nocapture` prints which, and with which seed.

#![cfg(feature = "seeded-bugs")]
#![expect(clippy::print_stdout, reason = "the finding scenario and seed are what one wants to know")]

use mpreg_sim::scenario::ALL;
use mpreg_sim::seeds::first_failure;
use mpreg_types::Defect;

/// Seeds tried with each scenario.
const SEEDS: u64 = 8;

/// The slow scenarios last: a defect that a quick one finds needs no more.
fn quick_first() -> Vec<(&'static str, mpreg_sim::seeds::Scenario)> {
    let mut all = ALL.to_vec();
    all.sort_by_key(|(name, _)| (*name == "idle_mesh", !name.starts_with("calls")));
    all
}

fn assert_found(defect: Defect) {
    Defect::choose(Some(defect));
    for seed in 1..=SEEDS {
        for (name, scenario) in quick_first() {
            if name == "idle_mesh" && seed > 1 {
                continue;
            }
            if let Some((seed, what)) = first_failure(scenario, [seed]) {
                let what = what.chars().take(160).collect::<String>();
                println!("{defect:?}: found by {name} with seed {seed}: {what}");
                Defect::choose(None);
                assert_eq!(first_failure(scenario, [seed]), None, "the defect alone is to blame");
                return;
            }
        }
    }
    panic!("no scenario found {defect:?} with {SEEDS} seeds");
}

macro_rules! found {
    ($($name:ident: $defect:ident,)*) => {
        $(
            #[test]
            fn $name() {
                assert_found(Defect::$defect);
            }
        )*

        #[test]
        fn no_defect_is_left_out() {
            assert_eq!(Defect::ALL, [$(Defect::$defect,)*]);
        }
    };
}

found! {
    catalog_ignores_gaps: CatalogIgnoresGaps,
    catalog_never_asks_for_the_rest: CatalogNeverAsksForTheRest,
    membership_suspects_briefly: MembershipSuspectsBriefly,
    membership_takes_silence_for_refusal: MembershipTakesSilenceForRefusal,
    membership_forgets_abrupt_losses: MembershipForgetsAbruptLosses,
    membership_keeps_deaths_to_itself: MembershipKeepsDeathsToItself,
    table_repeats_unknown: TableRepeatsUnknown,
    table_miscounts_unsent: TableMiscountsUnsent,
    goodbye_denies_the_last: GoodbyeDeniesTheLast,
    switch_denies_the_start: SwitchDeniesTheStart,
    claim_begins_revoked: ClaimBeginsRevoked,
    switch_forgets_relays: SwitchForgetsRelays,
    gate_ignores_credit: GateIgnoresCredit,
    table_repeats_after_items: TableRepeatsAfterItems,
    engine_keeps_the_dead_selectable: EngineKeepsTheDeadSelectable,
    desk_frees_only_its_own: DeskFreesOnlyItsOwn,
    desk_forgets_to_cancel: DeskForgetsToCancel,
    desk_holds_for_a_steps_time: DeskHoldsForAStepsTime,
    run_repeats_any_step: RunRepeatsAnyStep,
}
