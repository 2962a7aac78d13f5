//! Arbitrary call and reply heads, and a property-test configuration that runs the same cases every time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mpreg_types::{
    CallExtras, CallHead, CallId, ClusterId, ContractHash, Executed, ForeignText, FunctionId, FunctionName,
    FunctionVersion, Grant, GraphId, HeldInput, HopBudget, Incarnation, Ledger, Load, NodeId, PathKey,
    PreparedTarget, ReplyExtras, ReplyHead, Resource, ResultRef, Selector, StepCall, Target,
    VersionConstraint, Wanted, WantedCluster,
};
use mpreg_wire::{METADATA_BYTES_MAX, PATH_MAX, Process, RESOURCES_MAX};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same cases in every run.
pub(crate) fn fixed(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

pub(crate) fn process() -> impl Strategy<Value = Process> {
    (node(), any::<u64>()).prop_map(|(node, start)| Process { node, incarnation: Incarnation(start) })
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<[u8; 16]>().prop_map(NodeId::from_bytes)
}

fn cluster() -> impl Strategy<Value = ClusterId> {
    "[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?".prop_map(|text| ClusterId::parse(&text).unwrap())
}

fn dotted() -> impl Strategy<Value = String> {
    vec("[A-Za-z0-9_-]{1,14}", 1..=16).prop_map(|segments| segments.join("."))
}

fn version() -> impl Strategy<Value = FunctionVersion> {
    let numbers = any::<(u64, u32, u8)>().prop_map(|(a, b, c)| FunctionVersion::new(a, b.into(), c.into()));
    let prerelease =
        "[0-9]\\.[0-9]\\.[0-9]-[a-z]{1,8}\\.[1-9]".prop_map(|text| FunctionVersion::parse(&text).unwrap());
    prop_oneof![numbers, prerelease]
}

fn constraint() -> impl Strategy<Value = VersionConstraint> {
    prop_oneof![
        Just("*".to_owned()),
        "(>=|<|\\^|==|!=|~=)[0-9]\\.[0-9]{1,3}(,<[0-9]{1,3})?",
        "[0-9]\\.[0-9]\\.[0-9]-rc\\.[1-9]",
    ]
    .prop_map(|text| VersionConstraint::parse(&text).unwrap())
}

fn micros() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_micros)
}

fn selector() -> impl Strategy<Value = Selector> {
    let function = prop_oneof![
        dotted().prop_map(|text| Wanted::Name(FunctionName::parse(&text).unwrap())),
        dotted().prop_map(|text| Wanted::Id(FunctionId::parse(&text).unwrap())),
    ];
    let cluster = prop_oneof![
        Just(WantedCluster::OwnFirst),
        Just(WantedCluster::Any),
        cluster().prop_map(WantedCluster::One),
    ];
    let resource = "[A-Za-z0-9_.:=/-]{1,128}".prop_map(|text| Resource::parse(&text).unwrap());
    (
        function,
        cluster,
        constraint(),
        vec(resource, 0..=RESOURCES_MAX),
        option::of(any::<[u8; 32]>()),
        option::of(any::<u64>()),
        micros(),
        vec(node(), 0..=Selector::TRIED_MAX),
    )
        .prop_map(|(function, cluster, version, resources, contract, sticky, wait, tried)| Selector {
            function,
            cluster,
            version,
            resources: resources.into_iter().collect(),
            contract: contract.map(ContractHash::from_bytes),
            sticky,
            wait,
            tried,
        })
}

pub(crate) fn target() -> impl Strategy<Value = Target> {
    let direct = (process(), dotted(), version()).prop_map(|(process, function, version)| Target::Direct {
        node: process.node,
        incarnation: process.incarnation,
        function: FunctionId::parse(&function).unwrap(),
        version,
    });
    let here = dotted().prop_map(|text| Target::Here { function: FunctionId::parse(&text).unwrap() });
    prop_oneof![direct, selector().prop_map(Target::Select), here]
}

fn path() -> impl Strategy<Value = Vec<ClusterId>> {
    vec(cluster(), 0..=PATH_MAX)
}

fn call_extras() -> impl Strategy<Value = CallExtras> {
    let text = || option::of(".{0,80}");
    let metadata = option::of(vec(any::<u8>(), 0..=METADATA_BYTES_MAX));
    let step = option::of(step_call().prop_map(Box::new));
    (
        path(),
        option::of(node()),
        text(),
        text(),
        metadata,
        text(),
        any::<bool>(),
        option::of(any::<u64>()),
        step,
    )
        .prop_map(
            |(path, pinned_exit, client, trace, metadata, idempotency_key, tell_node, sticky, step)| {
                CallExtras {
                    path,
                    pinned_exit,
                    client,
                    trace,
                    metadata: metadata.map(Bytes::from),
                    idempotency_key,
                    tell_node,
                    sticky,
                    step,
                }
            },
        )
}

fn graph_id() -> impl Strategy<Value = GraphId> {
    (process(), any::<u64>()).prop_map(|(process, number)| GraphId {
        coordinator: process.node,
        incarnation: process.incarnation,
        number,
    })
}

fn step_call() -> impl Strategy<Value = StepCall> {
    let micros = any::<u64>().prop_map(Duration::from_micros);
    let key = prop_oneof![".{0,9}".prop_map(PathKey::Name), any::<i64>().prop_map(PathKey::Index)];
    let grant = (process(), any::<u64>(), any::<[u8; 16]>(), any::<u64>());
    let input =
        (any::<u64>(), grant, vec(key, 0..4)).prop_map(|(at, (holder, result, proof, bytes), path)| {
            let grant = Grant { holder: holder.node, incarnation: holder.incarnation, result, proof, bytes };
            HeldInput { at, grant, path }
        });
    (graph_id(), option::of(micros), vec(input, 0..4), any::<bool>())
        .prop_map(|(graph, keep, inputs, watched)| StepCall { graph, keep, inputs, watched })
}

fn result_ref() -> impl Strategy<Value = ResultRef> {
    (process(), any::<(u64, [u8; 16], u64, bool)>()).prop_map(
        |(holder, (result, token, bytes, idempotent))| ResultRef {
            holder: holder.node,
            incarnation: holder.incarnation,
            result,
            token,
            bytes,
            idempotent,
        },
    )
}

pub(crate) fn call() -> impl Strategy<Value = CallHead> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u8>(), micros(), any::<u64>());
    (numbers, process(), 0_u8..=16, any::<u8>(), any::<bool>(), target(), option::of(call_extras())).prop_map(
        |(
            (token, sequence, attempt, remaining, value_bytes),
            origin,
            hops,
            forwards,
            stream,
            target,
            extras,
        )| {
            CallHead {
                token,
                call: CallId { origin: origin.node, incarnation: origin.incarnation, sequence },
                attempt,
                remaining,
                value_bytes,
                hops_left: HopBudget::new(hops).unwrap(),
                forwards,
                stream,
                target: Arc::new(PreparedTarget::new(target)),
                extras: extras.map(Box::new),
            }
        },
    )
}

fn reply_extras() -> impl Strategy<Value = ReplyExtras> {
    let ledger =
        any::<[u64; 6]>().prop_map(|[queue, wire, interpreter, event_loop, handler, children]| Ledger {
            queue_us: queue,
            wire_us: wire,
            interpreter_us: interpreter,
            loop_us: event_loop,
            handler_us: handler,
            children_us: children,
        });
    let label = option::of(".{0,80}".prop_map(ForeignText::from));
    let held = option::of(result_ref().prop_map(Box::new));
    (option::of(node()), option::of(micros()), path(), option::of(ledger), any::<bool>(), label, held)
        .prop_map(|(node, retry_after, path, ledger, idempotent, label, held)| ReplyExtras {
            node,
            retry_after,
            path,
            ledger,
            idempotent,
            label,
            held,
        })
}

pub(crate) fn reply() -> impl Strategy<Value = ReplyHead> {
    let executed = prop_oneof![Just(Executed::No), Just(Executed::Yes), Just(Executed::Unknown)];
    let load = any::<(u32, u32)>().prop_map(|(in_flight, queued)| Load { in_flight, queued });
    (any::<u64>(), any::<bool>(), executed, any::<u64>(), option::of(load), option::of(reply_extras()))
        .prop_map(|(token, ok, executed, value_bytes, load, extras)| ReplyHead {
            token,
            ok,
            executed,
            value_bytes,
            load,
            extras: extras.map(Box::new),
        })
}
