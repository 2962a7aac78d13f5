use std::sync::Arc;
use std::time::Duration;

use mpreg_routing::Snapshot;
use mpreg_rpc::{CallKey, LocalCall, Outbound, SendFailure};
use mpreg_types::{CallHead, ConnectionId, ErrorBody, NodeId, Payload, StepCall, StreamId, Time};

use super::World;
use crate::frame::Frame;
use crate::graphs::Knock;
use crate::job::{Job, JobKey};

/// What the call table at one place acts through.
pub(crate) struct Desk<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) place: usize,
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Outbound for Desk<'_> {
    fn snapshot(&mut self) -> &Snapshot {
        &self.snapshot
    }

    fn entry(&mut self) -> Option<ConnectionId> {
        self.world.places[self.place].process.as_ref()?.entry
    }

    fn is_starting(&self) -> bool {
        self.world.places[self.place].process.as_ref().is_some_and(|process| process.starting)
    }

    fn round_trip(&self, _: ConnectionId) -> Option<Duration> {
        Some(Duration::from_millis(2))
    }

    fn dial(&mut self, node: NodeId) {
        self.world.wanted(self.place, node);
    }

    fn send_call(
        &mut self,
        to: ConnectionId,
        head: &CallHead,
        value: &Payload,
    ) -> Result<StreamId, SendFailure> {
        assert!(!head.remaining.is_zero(), "a call was sent after its deadline");
        self.world.send_sealed(self.place, to, head, value)
    }

    fn send_cancel(&mut self, to: ConnectionId, stream: StreamId) {
        self.world.write(self.place, to, Frame::Cancel(stream));
    }

    fn invoke_local(&mut self, call: LocalCall<'_>) -> Result<(), Box<ErrorBody>> {
        let (key, function) = (JobKey::Local(call.key), call.function);
        let job = Job::local(call, self.world.now);
        self.world.hand_over(self.place, key, function, job, self.place);
        Ok(())
    }

    fn gather(&mut self, key: CallKey, step: &StepCall, arguments: &Payload, deadline: Time) {
        let knock = Knock::Gather(JobKey::Local(key), step.clone(), arguments.clone(), deadline);
        self.world.knock(self.place, knock);
    }

    fn cancel_gather(&mut self, key: CallKey) {
        self.world.knock(self.place, Knock::Ungather(JobKey::Local(key)));
    }

    fn send_item_credit(&mut self, to: ConnectionId, stream: StreamId, bytes: u64) {
        self.world.write(self.place, to, Frame::Credit { stream, bytes });
    }

    fn resume_local(&mut self, key: CallKey) {
        self.world.resume_stream(self.place, JobKey::Local(key));
    }

    fn breach(&mut self, on: ConnectionId, stream: StreamId) {
        self.world.breach(self.place, on, stream);
    }

    fn cancel_local(&mut self, key: CallKey) {
        self.world.stop_job(self.place, JobKey::Local(key));
    }
}
