use std::sync::Arc;

use mpreg_rpc::{CallKey, Claim, InboundKey, Invocation, ItemGate, LocalCall, Running};
use mpreg_types::{CallExtras, CallHead, CallId, ConnectionId, Payload, StreamId, Time};

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
    /// Of a stream.
    pub(crate) making: Option<Making>,
    pub(crate) deadline: Time,
    /// Its arguments.
    pub(crate) value: Payload,
    /// What the call carries beside them.
    pub(crate) extras: CallExtras,
    /// When it came.
    pub(crate) arrived: Time,
    pub(crate) begun: bool,
    /// It does not end by itself.
    pub(crate) hangs: bool,
}

/// A stream at work.
#[derive(Debug)]
pub(crate) struct Making {
    pub(crate) gate: Arc<ItemGate>,
    /// Number of the next item.
    pub(crate) next: u32,
    /// How many there will be.
    pub(crate) total: u32,
    /// Which execution of its call this is.
    pub(crate) execution: u32,
    /// Length of the item that waits for credit.
    pub(crate) waits: Option<u64>,
}

impl Making {
    pub(crate) fn new(gate: Arc<ItemGate>) -> Self {
        Self { gate, next: 0, total: 0, execution: 0, waits: None }
    }
}

impl Job {
    /// A call that came over a connection.
    pub(crate) fn remote(call: Invocation) -> Self {
        let Invocation { from, stream, claim, running, gate, head, value, arrived, deadline, .. } = call;
        let making = gate.map(Making::new);
        let plain = Self::new(&head, value, claim, running, arrived, deadline);
        Self { reply_to: Some((from, stream)), making, ..plain }
    }

    /// A call of the process to itself.
    pub(crate) fn local(call: LocalCall<'_>, now: Time) -> Self {
        let making = call.gate.map(Making::new);
        let plain = Self::new(call.head, call.value.clone(), call.claim, call.running, now, call.deadline);
        Self { making, ..plain }
    }

    fn new(
        head: &CallHead,
        value: Payload,
        claim: Claim,
        running: Running,
        arrived: Time,
        deadline: Time,
    ) -> Self {
        Self {
            call: head.call,
            claim,
            _running: running,
            reply_to: None,
            token: head.token,
            making: None,
            deadline,
            value,
            extras: head.extras.as_deref().cloned().unwrap_or_default(),
            arrived,
            begun: false,
            hangs: false,
        }
    }
}
