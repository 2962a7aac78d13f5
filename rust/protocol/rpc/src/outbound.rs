use std::sync::Arc;
use std::time::Duration;

use mpreg_routing::Snapshot;
use mpreg_types::{CallHead, ConnectionId, ErrorBody, NodeId, Payload, StepCall, StreamId, Time};

use crate::{CallKey, Claim, ItemGate, Running};

/// What a [`CallTable`](crate::CallTable) acts through; implemented by the bridge that owns the table.
/// Nothing here blocks.
pub trait Outbound {
    /// The newest routing snapshot. A client has none and returns an empty one; it is asked on [`Route::Mesh`](crate::Route::Mesh) only.
    fn snapshot(&mut self) -> &Snapshot;

    /// The client's connection to its entry node, if it has one now.
    fn entry(&mut self) -> Option<ConnectionId>;

    /// True until the node's `start` has returned: calls wait for a candidate as long as it lasts.
    fn is_starting(&self) -> bool {
        false
    }

    /// Round-trip time of a connection, if it was measured.
    fn round_trip(&self, connection: ConnectionId) -> Option<Duration>;

    /// A call waits for a connection to `node`: dial it. Another snapshot comes when it stands. Clients have nobody to dial.
    fn dial(&mut self, _node: NodeId) {}

    /// Hands a call to a connection. An error says that provably no byte of it leaves.
    fn send_call(
        &mut self,
        to: ConnectionId,
        head: &CallHead,
        value: &Payload,
    ) -> Result<StreamId, SendFailure>;

    /// Tells the callee that nobody waits any more.
    fn send_cancel(&mut self, to: ConnectionId, stream: StreamId);

    /// Hands a call to a function of this process. Each accepted call is answered once by
    /// [`CallTable::local_result`](crate::CallTable::local_result), also when it was cancelled. An error says that it was not executed.
    fn invoke_local(&mut self, call: LocalCall<'_>) -> Result<(), Box<ErrorBody>>;

    /// Fetches the inputs of a step for a function of this process and puts them into `arguments`; to be told by
    /// [`CallTable::gathered`](crate::CallTable::gathered). Its grants are nobody's yet.
    fn gather(&mut self, key: CallKey, step: &StepCall, arguments: &Payload, deadline: Time);

    /// Nobody waits for those inputs any more.
    fn cancel_gather(&mut self, key: CallKey);

    /// Nobody waits for that local call any more. Its claim is revoked already; this is the word to the handler.
    fn cancel_local(&mut self, key: CallKey);

    /// Tells the sender of a stream that that much of it was taken.
    fn send_item_credit(&mut self, to: ConnectionId, stream: StreamId, bytes: u64);

    /// There is credit for the item that a stream of this process waits with.
    fn resume_local(&mut self, key: CallKey);

    /// A peer broke the window of a stream: close it.
    fn breach(&mut self, on: ConnectionId, stream: StreamId);
}

/// A call to a function of this process.
#[derive(Debug)]
pub struct LocalCall<'a> {
    /// The driver's number for the function.
    pub function: u64,
    /// The call.
    pub key: CallKey,
    /// To be asked before the function starts. Its answer needs no asking: the table drops what comes too late.
    pub claim: Claim,
    /// Its slot: to be dropped when the function has really ended.
    pub running: Running,
    /// Of a stream: what each of its items has to pass.
    pub gate: Option<Arc<ItemGate>>,
    /// Metadata, as a frame would carry it.
    pub head: &'a CallHead,
    /// The arguments.
    pub value: &'a Payload,
    /// When the call ends.
    pub deadline: Time,
}

/// Why a connection did not take a call. In every case no byte of it was handed to the kernel, and none will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
    /// The peer has to consume something first.
    #[error("the connection has no credit left")]
    NoCredit,
    /// As many calls are under way on it as it allows.
    #[error("too many calls are under way on the connection")]
    TooManyPending,
    /// The value is larger than the peer accepts.
    #[error("the value is larger than the peer accepts")]
    TooLarge,
}
