use mpreg_rpc::{CallKey, Claim, InboundKey, Running};
use mpreg_types::{CallId, ConnectionId, StreamId, Time};

/// One piece of work of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobKey {
    /// A call that came over a connection.
    Remote(InboundKey),
    /// A call of the process to itself.
    Local(CallKey),
}

/// A simulated handler at work, or about to be.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) call: CallId,
    pub(crate) claim: Claim,
    /// Its slot, until the work has really ended.
    pub(crate) _running: Running,
    /// Connection and stream of the caller, if it is another process.
    pub(crate) reply_to: Option<(ConnectionId, StreamId)>,
    pub(crate) token: u64,
    pub(crate) deadline: Time,
    pub(crate) begun: bool,
    /// It does not end by itself.
    pub(crate) hangs: bool,
}
