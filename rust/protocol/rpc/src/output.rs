use std::sync::Arc;

use mpreg_types::{CallHead, ConnectionId, ItemHead, NodeId, Payload, ReplyHead, StepCall, StreamId, Time};

use crate::{Claim, InboundKey, ItemGate, Running, SendFailure};

/// What a [`Switch`](crate::Switch) wants done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Run a function of this process.
    Invoke(Invocation),
    /// Nobody waits for that function any more; its claim is revoked. The answer was given already, if one is due.
    CancelLocal {
        /// The call, as its `Invoke` named it.
        key: InboundKey,
        /// Connection of its caller.
        from: ConnectionId,
        /// Its stream there.
        stream: StreamId,
    },
    /// Fetch the inputs of a step, which runs when they are here; tell by [`Switch::gathered`](crate::Switch::gathered).
    Gather {
        /// Names the call in `gathered`.
        key: InboundKey,
        /// Of which graph, and which inputs.
        step: StepCall,
        /// The arguments that they are put into.
        arguments: Payload,
        /// When the switch answers instead.
        deadline: Time,
    },
    /// Nobody waits for those inputs any more.
    CancelGather {
        /// The call, as its `Gather` named it.
        key: InboundKey,
    },
    /// Answer a caller with what a worker of this node made for a graph: what is large stays here.
    Keep {
        /// The caller's connection.
        to: ConnectionId,
        /// The call's stream there.
        stream: StreamId,
        /// Metadata.
        head: ReplyHead,
        /// The result.
        value: Payload,
        /// Of which graph, and for how long.
        step: Box<StepCall>,
        /// When the step came.
        arrived: Time,
        /// True: it may run again.
        idempotent: bool,
    },
    /// Answer a caller. To a connection that is gone: drop it.
    Reply {
        /// The caller's connection.
        to: ConnectionId,
        /// The call's stream there.
        stream: StreamId,
        /// Metadata.
        head: ReplyHead,
        /// The result, or an encoded error body.
        value: Payload,
    },
    /// Pass an item on to the client that asked for its stream.
    Item {
        /// The client's connection.
        to: ConnectionId,
        /// The call's stream there.
        stream: StreamId,
        /// Metadata.
        head: ItemHead,
        /// The item.
        value: Payload,
    },
    /// Pass a client's credit on to the sender of its stream.
    ItemCredit {
        /// The sender's connection.
        to: ConnectionId,
        /// The call's stream there.
        stream: StreamId,
        /// How much.
        bytes: u64,
    },
    /// There is credit for the item that a stream of this process waits with.
    Resume {
        /// The call, as its `Invoke` named it.
        key: InboundKey,
        /// Connection of its caller.
        from: ConnectionId,
        /// Its stream there.
        stream: StreamId,
    },
    /// A peer broke the window of a stream: close it.
    Breach {
        /// The peer's connection.
        on: ConnectionId,
        /// The stream.
        stream: StreamId,
    },
    /// Send a call on; tell the outcome by [`Switch::forwarded`](crate::Switch::forwarded) before the next input.
    Forward {
        /// Names the relay in `forwarded`.
        relay: InboundKey,
        /// The chosen peer's connection.
        to: ConnectionId,
        /// Metadata.
        head: CallHead,
        /// The arguments, untouched.
        value: Payload,
    },
    /// A call waits for a connection to that node: dial it. Another snapshot comes when it stands.
    Dial {
        /// Which.
        node: NodeId,
    },
    /// Cancel a call that was forwarded.
    CancelRemote {
        /// The peer's connection.
        to: ConnectionId,
        /// The call's stream there.
        stream: StreamId,
    },
    /// Report these calls, by their callers' tokens, as started: one frame.
    Started {
        /// The callers' connection.
        to: ConnectionId,
        /// Tokens of the calls.
        tokens: Vec<u64>,
    },
}

/// A call that arrived and was admitted.
///
/// The dispatcher asks `claim.begin()` before the function starts and `claim.answer()` before it sends the reply (with
/// `head.token`, on `from` and `stream`); if one says no, it skips that. In every case it ends with exactly one
/// [`Switch::finished`](crate::Switch::finished), after dropping `running`.
#[derive(Debug)]
pub struct Invocation {
    /// Names the call in `finished`.
    pub key: InboundKey,
    /// The driver's number for the function.
    pub function: u64,
    /// Connection of the caller.
    pub from: ConnectionId,
    /// The call's stream there.
    pub stream: StreamId,
    /// The right to begin and to answer.
    pub claim: Claim,
    /// The function's slot, taken until this is dropped.
    pub running: Running,
    /// Of a stream: what each of its items has to pass.
    pub gate: Option<Arc<ItemGate>>,
    /// Metadata as it arrived.
    pub head: CallHead,
    /// The arguments.
    pub value: Payload,
    /// When it came to this node.
    pub arrived: Time,
    /// When the switch answers instead and takes the call back.
    pub deadline: Time,
}

/// A call that a connection did not take: no byte of it left, and the switch gets it back.
#[derive(Debug)]
pub struct NotSent {
    /// Why.
    pub why: SendFailure,
    /// As in the `Forward`.
    pub head: CallHead,
    /// As in the `Forward`.
    pub value: Payload,
}
