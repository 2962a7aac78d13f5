//! Graphs whose callers watch them: what happens is told as far as the reader takes it, and the rest with the answer.

use mpreg_types::{ForeignText, GraphEvent, Time};

use crate::desk::{Desk, Purpose};
use crate::desk_port::{DeskPort, Outcome};
use crate::graph_run::GraphRun;
use crate::step_state::StepDone;

impl<K: Copy + Ord, T, J> Desk<K, T, J> {
    /// A call of the desk went to `node`. To be told before its end, each time that it is sent.
    pub fn sent<P>(&mut self, key: K, node: ForeignText, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        let Some(Purpose::Step { run, step }) = self.purposes.get(&key) else { return };
        if let Some(run) = self.runs.get_mut(run) {
            run.note(GraphEvent::Started { step: *step, node });
            run.tell(port);
        }
    }

    /// The reader of a graph's events has room again.
    pub fn resume<P>(&mut self, is_it: impl Fn(&T) -> bool, port: &mut P)
    where
        P: DeskPort<Key = K, Ticket = T, Job = J>,
    {
        let found = self.runs.values_mut().find(|run| run.ticket.as_ref().is_some_and(&is_it));
        if let Some(run) = found {
            if let Some(events) = &mut run.events {
                events.held_up = false;
            }
            run.tell(port);
        }
    }
}

impl<K, T> GraphRun<K, T> {
    /// A step has returned; the run does not know it yet.
    pub(crate) fn note_done(&mut self, step: u32, done: &StepDone, now: Time) {
        let (Some(events), Some(sent)) = (&mut self.events, self.run.sent_at(step)) else { return };
        let us = u64::try_from(now.since(sent).as_micros()).unwrap_or(u64::MAX);
        let value = events.value_of(step, done);
        events.add(GraphEvent::Finished { step, node: done.node.clone(), us }, value);
    }

    fn note(&mut self, event: GraphEvent) {
        if let Some(events) = &mut self.events {
            events.add(event, None);
        }
    }

    /// Sends the reader what it has room for.
    pub(crate) fn tell<P: DeskPort<Ticket = T>>(&mut self, port: &mut P) {
        let (Some(events), Some(ticket)) = (&mut self.events, &self.ticket) else { return };
        while let Some(next) = events.next().filter(|_| !events.held_up) {
            if port.tell(ticket, &next.event, next.value.as_ref()) {
                events.sent();
            } else {
                events.held_up = true;
            }
        }
    }

    /// Adds to the end of the graph what its reader has not been sent.
    pub(crate) fn with_rest(&mut self, outcome: Outcome) -> Outcome {
        let Some(events) = &mut self.events else { return outcome };
        let rest = events.take_rest();
        match outcome {
            Ok((mut answer, values)) => {
                answer.events = rest;
                Ok((answer, values))
            }
            Err(mut failure) => {
                failure.events = rest;
                Err(failure)
            }
        }
    }
}
