//! Results on their way from who holds them to who needs them: both ends.

use std::sync::Arc;
use std::time::Duration;

use mpreg_graph::{FetchRefused, grant, open_grant, project};
use mpreg_types::{
    Builtin, ErrorBody, ErrorCode, Executed, Fetch, FunctionVersion, GraphId, HeldInput, Incarnation,
    InputFailure, NodeId, PathKey, Payload, PreparedTarget, ResultRef, Target, Time,
};
use mpreg_wire::message;

use crate::dispatch::{Invocation, Replies};
use crate::failure::CallFailure;
use crate::node_shared::NodeShared;
use crate::port::Outgoing;

/// How long a holder is told that it may free what it holds.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Attempts beyond the first: asking again does no harm.
const RETRIES: u8 = 2;

/// Answers a node that fetches a result held here.
pub(super) fn serve(shared: &NodeShared, mut call: Invocation, consumer: NodeId, replies: &mut Replies) {
    let _ = call.ticket.begin(crate::runtime::now());
    let Ok(wanted) = message::decode::<Fetch>(&call.value.head) else {
        return call.ticket.fail(unreadable(), Executed::No, replies);
    };
    match look_up(shared, &wanted, consumer) {
        Ok(part) => call.ticket.succeed(part, replies),
        Err(body) => call.ticket.fail(*body, Executed::No, replies),
    }
}

/// Frees what is held for a graph, if its coordinator says so.
pub(super) fn free(shared: &NodeShared, mut call: Invocation, peer: NodeId, replies: &mut Replies) {
    let _ = call.ticket.begin(crate::runtime::now());
    match message::decode::<GraphId>(&call.value.head) {
        Ok(graph) if graph.coordinator == peer => {
            shared.results.free(graph);
            call.ticket.succeed(Payload::default(), replies);
        }
        Ok(_) => {
            let body = ErrorBody::new(ErrorCode::PermissionDenied, "only its coordinator ends a graph");
            call.ticket.fail(body, Executed::No, replies);
        }
        Err(_) => call.ticket.fail(unreadable(), Executed::No, replies),
    }
}

/// The call that fetches an input; `None` if its holder is not known here (any more).
pub(super) fn request(
    shared: &NodeShared,
    graph: GraphId,
    input: &HeldInput,
    deadline: Time,
) -> Option<(Outgoing, Payload)> {
    let HeldInput { grant, path, .. } = input;
    let wanted = Fetch { graph, result: grant.result, proof: grant.proof, path: path.clone() };
    let outgoing = to_builtin(shared, Builtin::Result, grant.holder, grant.incarnation, deadline)?;
    Some((outgoing, message::encode(&wanted).into()))
}

/// The call that tells a holder that a graph has ended.
pub(super) fn release(
    shared: &NodeShared,
    graph: GraphId,
    holder: NodeId,
    incarnation: Incarnation,
    now: Time,
) -> Option<(Outgoing, Payload)> {
    let outgoing = to_builtin(shared, Builtin::Free, holder, incarnation, now + RELEASE_TIMEOUT)?;
    Some((outgoing, message::encode(&graph).into()))
}

/// An input that this node holds itself.
pub(super) fn own(shared: &NodeShared, graph: GraphId, input: &HeldInput) -> Result<Payload, Box<ErrorBody>> {
    let HeldInput { grant, path, .. } = input;
    let wanted = Fetch { graph, result: grant.result, proof: grant.proof, path: path.clone() };
    look_up(shared, &wanted, shared.node)
}

/// What the coordinator itself fetches: a wanted value.
pub(super) fn for_itself(
    shared: &NodeShared,
    graph: GraphId,
    held: &ResultRef,
    path: Vec<PathKey>,
) -> HeldInput {
    HeldInput { at: 0, grant: grant(&open_grant(held), graph, shared.node), path }
}

/// The error of an input whose holder is gone.
pub(super) fn gone(input: &HeldInput) -> Box<ErrorBody> {
    let lost = InputFailure { holder: input.grant.holder, result: input.grant.result, cause: None };
    failure(&lost, "the node that holds an input of the step is gone")
}

/// A fetch that failed, as the coordinator reads it: the holder has said what is wrong, or there is no way to it.
pub(super) fn lost(failed: CallFailure, wanted: Wanted) -> Box<ErrorBody> {
    let Wanted { holder, result } = wanted;
    match failed.body.code {
        ErrorCode::ConnectionLost
        | ErrorCode::NoRoute
        | ErrorCode::WrongIncarnation
        | ErrorCode::CancelledByPeer => {
            let text = "the node that holds an input of the step is gone";
            failure(&InputFailure { holder, result, cause: None }, text)
        }
        _ => Box::new(failed.body),
    }
}

/// Which held result a call fetches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    holder: NodeId,
    result: u64,
}

impl Wanted {
    pub(super) fn of(input: &HeldInput) -> Self {
        Self { holder: input.grant.holder, result: input.grant.result }
    }
}

fn look_up(shared: &NodeShared, wanted: &Fetch, consumer: NodeId) -> Result<Payload, Box<ErrorBody>> {
    let about = |cause| InputFailure { holder: shared.node, result: wanted.result, cause };
    let whole = shared.results.fetch(wanted, consumer).map_err(|refused| match refused {
        FetchRefused::Gone => failure(&about(None), &refused.to_string()),
        FetchRefused::NotGranted => {
            Box::new(ErrorBody::new(ErrorCode::PermissionDenied, refused.to_string()))
        }
    })?;
    project(&whole, &wanted.path).map_err(|missing| {
        let text = missing.to_string();
        failure(&about(Some(Box::new(missing.body()))), &text)
    })
}

fn to_builtin(
    shared: &NodeShared,
    builtin: Builtin,
    node: NodeId,
    incarnation: Incarnation,
    deadline: Time,
) -> Option<Outgoing> {
    shared.builtin_of(node, incarnation, builtin)?;
    let (function, version) = (builtin.id(), FunctionVersion::ONE);
    Some(Outgoing {
        target: Arc::new(PreparedTarget::new(Target::Direct { node, incarnation, function, version })),
        deadline,
        retries: RETRIES,
        idempotent: true,
        stream: false,
        max_hops: None,
        extras: None,
    })
}

fn failure(lost: &InputFailure, text: &str) -> Box<ErrorBody> {
    let mut body = ErrorBody::new(ErrorCode::ResultLost, text);
    body.data = Some(message::encode(lost).into());
    Box::new(body)
}

fn unreadable() -> ErrorBody {
    ErrorBody::new(ErrorCode::Decode, "the request cannot be read; do both nodes have one version of mpreg?")
}
