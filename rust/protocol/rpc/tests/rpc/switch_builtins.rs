//! What every node has: graphs for all, held results among nodes.

use std::sync::Arc;

use mpreg_rpc::{SwitchConfig, WorkloadConfig};
use mpreg_types::{Builtin, ErrorCode, Executed, FunctionVersion, PreparedTarget, Target};

use crate::cluster::{INCARNATION, node};
use crate::station::{CLIENT, MEMBER, OTHER_MEMBER, Station};

fn here(builtin: Builtin) -> Arc<PreparedTarget> {
    Arc::new(PreparedTarget::new(Target::Here { function: builtin.id() }))
}

fn named(builtin: Builtin) -> Arc<PreparedTarget> {
    let (function, version) = (builtin.id(), FunctionVersion::ONE);
    Arc::new(PreparedTarget::new(Target::Direct {
        node: node(1),
        incarnation: INCARNATION,
        function,
        version,
    }))
}

#[test]
fn a_client_runs_graphs_and_touches_no_held_result() {
    let mut station = Station::usual();
    station.call(CLIENT, 1, &here(Builtin::Graph));
    assert_eq!(station.invoked[0].function, Builtin::Graph.handle());
    let kept =
        [Builtin::Result, Builtin::Free].into_iter().flat_map(|builtin| [here(builtin), named(builtin)]);
    for (to, stream) in kept.zip([3, 5, 7, 9]) {
        station.call(CLIENT, stream, &to);
        let (_, code, executed) = station.error();
        assert_eq!((code, executed), (ErrorCode::FunctionNotFound, Executed::No));
    }
    assert_eq!(station.invoked.len(), 1);
}

#[test]
fn clients_and_members_ask_what_the_node_has_done_and_how_far_it_is() {
    let mut station = Station::usual();
    station.call(CLIENT, 1, &named(Builtin::Stats));
    station.call(MEMBER, 1, &named(Builtin::Stats));
    station.call(CLIENT, 3, &named(Builtin::Echo));
    let called: Vec<_> =
        station.invoked.iter().filter_map(|call| Builtin::of_handle(call.function)).collect();
    assert_eq!(called, [Builtin::Stats, Builtin::Stats, Builtin::Echo]);
}

#[test]
fn results_are_handed_out_however_many_graphs_run() {
    let config = SwitchConfig { graphs_max: 1, ..SwitchConfig::default() };
    let mut station = Station::new(config, WorkloadConfig::default());
    station.call(CLIENT, 1, &here(Builtin::Graph));
    station.call(MEMBER, 1, &here(Builtin::Graph));
    assert_eq!(station.invoked.len(), 1, "the second graph waits for its turn");
    station.call(OTHER_MEMBER, 1, &named(Builtin::Result));
    station.call(OTHER_MEMBER, 3, &named(Builtin::Free));
    let called: Vec<_> =
        station.invoked.iter().filter_map(|call| Builtin::of_handle(call.function)).collect();
    assert_eq!(called, [Builtin::Graph, Builtin::Result, Builtin::Free]);
}

#[test]
fn a_leaving_node_takes_no_graph_and_hands_out_what_it_holds() {
    let mut station = Station::usual();
    station.switch.drain();
    station.call(CLIENT, 1, &here(Builtin::Graph));
    assert_eq!(station.error().1, ErrorCode::Draining);
    station.call(MEMBER, 1, &named(Builtin::Result));
    station.call(MEMBER, 3, &named(Builtin::Free));
    assert_eq!(station.invoked.len(), 2);
}
