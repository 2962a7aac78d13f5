//! Steps of graphs at the switch: inputs that came for them, results of workers that stay here, and calls of this process
//! itself for functions that its workers run.

use std::collections::BTreeMap;

use mpreg_rpc::{OWN_CALLS, OwnCall, encode_error};
use mpreg_types::{ErrorBody, ErrorCode, Executed, Payload, ReplyHead, StreamId, Time};

use super::SwitchIo;
use crate::dispatch::{Invocation, InvocationKey, Replies, Ticket};
use crate::graph::Keep;
use crate::worker_door::Errand;

/// Calls of this process that its workers have.
#[derive(Debug, Default)]
pub(super) struct OwnCalls {
    /// The last number that stands for a stream.
    last: u64,
    tickets: BTreeMap<StreamId, Ticket>,
    streams: BTreeMap<InvocationKey, StreamId>,
}

impl OwnCalls {
    fn add(&mut self, ticket: Ticket) -> StreamId {
        self.last += 1;
        let stream = StreamId(self.last);
        self.streams.insert(ticket.key(), stream);
        self.tickets.insert(stream, ticket);
        stream
    }

    fn remove(&mut self, stream: StreamId) -> Option<Ticket> {
        let ticket = self.tickets.remove(&stream)?;
        self.streams.remove(&ticket.key());
        Some(ticket)
    }
}

impl SwitchIo {
    /// Goes on with what the desk has brought; false if there was nothing.
    pub(super) fn go_on_with_steps(&mut self, now: Time) -> bool {
        let (gathered, errands) = (self.desk.take_gathered(), self.shared.worker_door.take());
        if gathered.is_empty() && errands.is_empty() {
            return false;
        }
        for (key, outcome) in gathered {
            self.switch.gathered(key, outcome, now, &mut self.outputs);
        }
        for errand in errands {
            match errand {
                Errand::Run(function, call) => self.hand_to_workers(function, *call, now),
                Errand::Cancel(key) => self.cancel_own(key, now),
            }
        }
        true
    }

    /// A worker has answered a call of this process, or nobody could.
    pub(super) fn own_answered(&mut self, stream: StreamId, head: ReplyHead, value: Payload, now: Time) {
        let Some(item) = self.own_calls.remove(stream).and_then(|ticket| ticket.answered(head, value)) else {
            return;
        };
        if item.port().is_some_and(|port| self.desk.owns(port)) {
            self.desk.arrived(item, now);
        } else {
            self.replies.push(item);
        }
    }

    fn hand_to_workers(&mut self, function: u64, call: Invocation, now: Time) {
        let Invocation { head, deadline, value, mut ticket, .. } = call;
        let begun = ticket.begin(now);
        let Some(running) = ticket.take_running().filter(|_| begun) else {
            let body = ErrorBody::new(
                ErrorCode::CancelledByPeer,
                "the caller gave up before the function could start",
            );
            let mut replies = Replies::default();
            ticket.fail(body, Executed::No, &mut replies);
            return replies.flush();
        };
        let stream = self.own_calls.add(ticket);
        let call = OwnCall { function, head, value, deadline, running };
        self.switch.own_call(stream, call, now, &mut self.outputs);
    }

    fn cancel_own(&mut self, key: InvocationKey, now: Time) {
        if let Some(stream) = self.own_calls.streams.get(&key) {
            self.switch.cancel(OWN_CALLS, *stream, now, &mut self.outputs);
        }
    }
}

/// The answer of a worker to a step, without what stays here of it.
pub(super) fn kept(keep: Option<&Keep>, mut head: ReplyHead, value: Payload) -> (ReplyHead, Payload) {
    match keep.and_then(|keep| keep.hold(&value)) {
        None => (head, value),
        Some(Ok(reference)) => {
            head.value_bytes = 0;
            head.extras.get_or_insert_default().held = Some(Box::new(reference));
            (head, Payload::default())
        }
        Some(Err(full)) => {
            let value = encode_error(&full);
            (ReplyHead::error(head.token, Executed::Yes, value.len() as u64), value)
        }
    }
}
