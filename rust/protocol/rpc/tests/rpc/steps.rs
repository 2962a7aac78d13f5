//! Steps of graphs whose large inputs are elsewhere, and what workers have to do with graphs.

use std::sync::Arc;
use std::time::Duration;

use mpreg_rpc::{
    Invocation, OWN_CALLS, OwnCall, Peer, Route, Running, Runs, SwitchConfig, WorkerOffer, WorkloadConfig,
};
use mpreg_types::{
    CallExtras, CallHead, ConnectionId, ErrorCode, Executed, Grant, GraphId, HeldInput, Incarnation, Load,
    Payload, PreparedTarget, ReplyHead, StepCall, StreamId,
};

use crate::cluster::{direct, node, offer, target};
use crate::port::Bench;
use crate::station::{MEMBER, Station};

const WORKER: ConnectionId = ConnectionId(201);
const LARGE: &[u8] = &[7; 50];

fn graph() -> GraphId {
    GraphId { coordinator: node(2), incarnation: Incarnation(7), number: 1 }
}

/// What the call of a step says that has one input of 50 bytes elsewhere, and whose result may stay here.
fn lacking() -> Box<CallExtras> {
    let grant = Grant {
        holder: node(3),
        incarnation: Incarnation(7),
        result: 1,
        proof: [0; 16],
        bytes: LARGE.len() as u64,
    };
    let inputs = vec![HeldInput { at: 1, grant, path: Vec::new() }];
    let step = StepCall { graph: graph(), keep: Some(Duration::from_secs(9)), inputs, watched: false };
    Box::new(CallExtras { step: Some(Box::new(step)), ..CallExtras::default() })
}

fn large() -> Payload {
    LARGE.to_vec().into()
}

/// Node 1 with "f", of which one runs at a time.
fn station(workload: WorkloadConfig) -> (Station, u64) {
    let mut station = Station::new(SwitchConfig::default(), workload);
    let slots = station.slots(Some(1));
    let function = station.cluster.own(&offer("f"), &slots);
    station.publish();
    (station, function)
}

fn usual() -> Station {
    station(WorkloadConfig::default()).0
}

fn f() -> Arc<PreparedTarget> {
    direct(node(1), "f")
}

fn call_step(station: &mut Station, stream: u64) {
    let head = CallHead { token: stream, extras: Some(lacking()), ..Station::head(&f()) };
    station.call_with(MEMBER, stream, head);
}

#[test]
fn a_step_takes_its_slot_when_its_inputs_are_here() {
    let mut station = usual();
    call_step(&mut station, 1);
    assert_eq!(station.gathering[0].1.inputs.len(), 1);
    assert_eq!(station.workload.load(), Load { in_flight: 0, queued: 1 });
    station.call(MEMBER, 3, &f());
    assert_eq!(station.invoked[0].stream, StreamId(3), "who lacks nothing does not wait for its bytes");
    station.gathered(Ok(large()));
    assert_eq!(station.invoked.len(), 1, "now it waits for the slot");
    station.finish();
    let step = &station.invoked[0];
    assert_eq!((step.stream, step.head.value_bytes, step.value.len()), (StreamId(1), 50, 50));
    let said = step.head.extras.as_ref().and_then(|extras| extras.step.as_ref()).unwrap();
    assert!(said.inputs.is_empty() && said.keep.is_some());
    station.finish();
    station.assert_empty();
}

#[test]
fn nothing_is_fetched_for_a_step_that_nobody_waits_for() {
    let ends: [fn(&mut Station); 3] = [
        |station| station.cancel(MEMBER, 1),
        |station| station.pass_ms(1001),
        |station| station.lose(MEMBER, StreamId(u64::MAX)),
    ];
    for end in ends {
        let mut station = usual();
        call_step(&mut station, 1);
        end(&mut station);
        assert!(station.gathering.is_empty() && station.invoked.is_empty());
        assert!(station.replies.drain(..).all(|(.., head, _)| head.executed == Executed::No));
        station.assert_empty();
    }
}

#[test]
fn a_step_whose_input_is_lost_does_not_run() {
    let mut station = usual();
    call_step(&mut station, 1);
    station.gathered(Err(ErrorCode::ResultLost));
    assert_eq!(station.error(), (StreamId(1), ErrorCode::ResultLost, Executed::No));
    station.assert_empty();
}

#[test]
fn inputs_that_are_here_before_their_functions_start_are_bounded() {
    let (mut station, _) = station(WorkloadConfig { gathered_bytes: 120, ..WorkloadConfig::default() });
    call_step(&mut station, 1);
    call_step(&mut station, 3);
    call_step(&mut station, 5);
    assert_eq!(station.error(), (StreamId(5), ErrorCode::Overloaded, Executed::No));
    station.gathered(Ok(large()));
    station.gathered(Ok(large()));
    // The first one runs and counts no more; the second waits for the slot, and counts.
    call_step(&mut station, 7);
    call_step(&mut station, 9);
    assert_eq!(station.error(), (StreamId(9), ErrorCode::Overloaded, Executed::No));
    station.gathered(Ok(vec![0; 80].into()));
    assert_eq!(station.error(), (StreamId(7), ErrorCode::Overloaded, Executed::No));
    station.finish();
    station.finish();
    station.assert_empty();
}

/// A worker of node 1 offers its "f".
fn with_worker() -> (Station, u64) {
    let (mut station, function) = station(WorkloadConfig::default());
    station.switch.connected(WORKER, Peer::Worker);
    let target = direct(node(201), "f");
    station.switch.worker_offers(WORKER, WorkerOffer { number: 1, function, idempotent: true, target });
    (station, function)
}

fn made(token: u64) -> (ReplyHead, Payload) {
    (ReplyHead::ok(token, LARGE.len() as u64), large())
}

#[test]
fn a_worker_gets_all_inputs_and_its_result_stays_with_the_parent() {
    let (mut station, _) = with_worker();
    call_step(&mut station, 1);
    assert!(station.forwarded.is_empty(), "the parent is who may fetch");
    station.gathered(Ok(large()));
    let head = &station.forwarded[0].head;
    assert_eq!(head.value_bytes, 50);
    let said = head.extras.as_ref().and_then(|extras| extras.step.as_ref()).unwrap();
    assert!(said.inputs.is_empty() && said.keep.is_none(), "the graph is the parent's");
    station.relayed_reply(0, made);
    let (to, stream, value, step) = station.kept.remove(0);
    assert_eq!((to, stream, value.len(), step.graph), (MEMBER, StreamId(1), 50, graph()));
    assert!(station.replies.is_empty());
    station.assert_empty();
}

#[test]
fn the_parents_own_steps_are_run_by_its_workers() {
    let (mut station, function) = with_worker();
    let slots = station.slots(None);
    station.cluster.own(&offer("g"), &slots);
    station.publish();
    let own = |station: &mut Station, stream| {
        let running = taken(station, 100 + stream);
        let head = CallHead { token: stream, extras: Some(lacking()), ..Station::head(&f()) };
        let (now, deadline) = (station.now, station.now + Duration::from_secs(1));
        let call = OwnCall { function, head, value: large(), deadline, running };
        station.act(|switch, out| switch.own_call(StreamId(stream), call, now, out));
    };
    own(&mut station, 1);
    assert_eq!(station.forwarded[0].head.value_bytes, 50, "inputs have come since it was made");
    station.relayed_reply(0, made);
    assert_eq!((station.kept[0].0, station.kept[0].1), (OWN_CALLS, StreamId(1)));
    own(&mut station, 2);
    station.cancel(OWN_CALLS, 2);
    assert_eq!(station.cancelled, [(WORKER, station.forwarded[1].stream)]);
    own(&mut station, 3);
    station.lose(WORKER, StreamId(u64::MAX));
    let lost: Vec<_> =
        station.replies.iter().map(|(to, stream, head, _)| (*to, *stream, head.executed)).collect();
    assert_eq!(lost, [2, 3].map(|stream| (OWN_CALLS, StreamId(stream), Executed::Unknown)));
    station.replies.clear();
    own(&mut station, 4);
    assert_eq!(station.error(), (StreamId(4), ErrorCode::FunctionNotFound, Executed::No));
    assert_eq!(station.workload.load().in_flight, 0, "every slot is free again");
    station.assert_empty();
}

/// A slot, taken from a call that has ended.
fn taken(station: &mut Station, stream: u64) -> Running {
    station.call(MEMBER, stream, &direct(node(1), "g"));
    let Invocation { key, running, .. } = station.invoked.remove(0);
    let now = station.now;
    station.act(|switch, out| switch.finished(key, now, out));
    running
}

#[test]
fn an_own_step_takes_its_slot_when_its_inputs_are_here() {
    let mut bench = Bench::new(node(1));
    let slots = bench.workload.function_slots(Runs::OnLoop, Some(1));
    bench.cluster.own(&offer("f"), &slots);
    bench.publish();
    let step = bench.begin_with(Route::Mesh, target("f"), lacking());
    assert_eq!((bench.port.gathering.len(), bench.port.local.len()), (1, 0));
    bench.call("f");
    assert_eq!(bench.port.local.len(), 1, "who lacks nothing does not wait for its bytes");
    bench.gathered(Ok(large()));
    assert_eq!(bench.port.local.len(), 1, "now it waits for the slot");
    bench.finish_local();
    assert_eq!((bench.port.local[0].key, bench.port.local[0].value.len()), (step, 50));
    bench.finish_local();
    let cancelled = bench.begin_with(Route::Mesh, target("f"), lacking());
    assert!(bench.table.cancel(cancelled, &mut bench.port));
    assert!(bench.port.gathering.is_empty());
    bench.begin_with(Route::Mesh, target("f"), lacking());
    bench.pass_ms(1001);
    assert!(bench.port.gathering.is_empty());
    bench.begin_with(Route::Mesh, target("f"), lacking());
    bench.gathered(Err(ErrorCode::ResultLost));
    let ends: Vec<_> =
        bench.done.iter().map(|done| done.outcome.as_ref().map_err(|failure| failure.body.code)).collect();
    assert!(
        matches!(ends[..], [Ok(_), Ok(_), Err(ErrorCode::DeadlineExceeded), Err(ErrorCode::ResultLost)]),
        "{ends:?}"
    );
    assert_eq!(bench.workload.load(), Load::default());
}
