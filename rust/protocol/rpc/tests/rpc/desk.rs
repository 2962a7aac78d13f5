use std::sync::Arc;
use std::time::Duration;

use mpreg_routing::Snapshot;
use mpreg_rpc::{CallKey, LocalCall, Outbound, SendFailure};
use mpreg_types::{CallHead, ConnectionId, ErrorBody, Payload, StepCall, StreamId, Time};

use crate::fabric::Fabric;
use crate::process::{Job, JobKey};
use crate::wire::Frame;

/// What a table of the fabric acts through.
pub(crate) struct Desk<'a> {
    pub(crate) fabric: &'a mut Fabric,
    pub(crate) process: usize,
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Outbound for Desk<'_> {
    fn snapshot(&mut self) -> &Snapshot {
        &self.snapshot
    }

    fn entry(&mut self) -> Option<ConnectionId> {
        self.fabric.processes[self.process].entry
    }

    fn round_trip(&self, _: ConnectionId) -> Option<Duration> {
        Some(Duration::from_millis(4))
    }

    fn send_call(&mut self, to: ConnectionId, head: &CallHead, _: &Payload) -> Result<StreamId, SendFailure> {
        assert!(!head.remaining.is_zero(), "sent after its deadline");
        self.fabric.write_call(self.process, to, head)
    }

    fn send_cancel(&mut self, to: ConnectionId, stream: StreamId) {
        self.fabric.write(self.process, to, Frame::Cancel(stream));
    }

    fn invoke_local(&mut self, call: LocalCall<'_>) -> Result<(), Box<ErrorBody>> {
        let job = Job {
            call: call.head.call,
            claim: call.claim,
            _running: call.running,
            reply_to: None,
            token: call.head.token,
            deadline: call.deadline,
            begun: false,
        };
        self.fabric.take_job(self.process, JobKey::Local(call.key), job);
        Ok(())
    }

    fn gather(&mut self, _: CallKey, _: &StepCall, _: &Payload, _: Time) {
        unreachable!("nobody runs a graph here")
    }

    fn cancel_gather(&mut self, _: CallKey) {
        unreachable!("nobody runs a graph here")
    }

    fn send_item_credit(&mut self, _: ConnectionId, _: StreamId, _: u64) {
        unreachable!("nobody asks for a stream here")
    }

    fn resume_local(&mut self, _: CallKey) {
        unreachable!("nobody asks for a stream here")
    }

    fn breach(&mut self, _: ConnectionId, _: StreamId) {
        unreachable!("nobody asks for a stream here")
    }

    fn cancel_local(&mut self, key: CallKey) {
        self.fabric.stop_job(self.process, JobKey::Local(key));
    }
}
