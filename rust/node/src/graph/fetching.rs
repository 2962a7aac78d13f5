//! The holder's end of a fetch, and of a graph's end.

use mpreg_graph::part_of;
use mpreg_types::{ErrorBody, ErrorCode, Executed, Fetch, GraphId, NodeId, Payload};
use mpreg_wire::message;

use crate::dispatch::{Invocation, Replies};
use crate::node_shared::NodeShared;

/// Answers a node that fetches a result held here.
pub(super) fn serve(shared: &NodeShared, mut call: Invocation, consumer: NodeId, replies: &mut Replies) {
    let _ = call.ticket.begin(crate::runtime::now());
    let Ok(wanted) = message::decode::<Fetch>(&call.value.head) else {
        return call.ticket.fail(unreadable(), Executed::No, replies);
    };
    let found = shared.results.fetch(&wanted, consumer);
    match part_of(shared.node, &wanted, found) {
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

fn unreadable() -> ErrorBody {
    ErrorBody::new(ErrorCode::Decode, "the request cannot be read; do both nodes have one version of mpreg?")
}
