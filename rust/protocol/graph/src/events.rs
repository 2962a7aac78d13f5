use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem::discriminant;

use mpreg_types::{GraphEvent, INLINE_RESULT_BYTES, Payload};

use crate::plan::Plan;
use crate::step_state::{StepDone, StepValue};

/// What the reader of a watched graph has not been sent yet, in order. Of each step at most one event of a kind follows
/// another one, the latest: so a slow reader has no more of them wait here than there are steps and repetitions.
#[derive(Debug)]
pub(crate) struct Events {
    queue: VecDeque<Waiting>,
    /// Number of the first one in the queue.
    first: u64,
    /// Of each step with events in the queue, the number of the last one.
    last: BTreeMap<u32, u64>,
    /// Steps that were asked for as a whole.
    wanted: BTreeSet<u32>,
    /// There was no room for the first one at the reader.
    pub(crate) held_up: bool,
}

/// An event and the value that goes with it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) event: GraphEvent,
    pub(crate) value: Option<Payload>,
}

impl Events {
    pub(crate) fn of(plan: &Plan) -> Self {
        let wholes = plan.wanted.iter().filter(|pick| pick.path.is_empty());
        Self {
            queue: VecDeque::new(),
            first: 0,
            last: BTreeMap::new(),
            wanted: wholes.map(|pick| pick.step).collect(),
            held_up: false,
        }
    }

    /// The value of a step that has finished, if it goes to the reader now.
    pub(crate) fn value_of(&self, step: u32, done: &StepDone) -> Option<Payload> {
        match &done.value {
            StepValue::Inline(value) if value.len() <= INLINE_RESULT_BYTES && self.wanted.contains(&step) => {
                Some(value.clone())
            }
            _ => None,
        }
    }

    pub(crate) fn add(&mut self, event: GraphEvent, value: Option<Payload>) {
        let step = event.step();
        let at = self.last.get(&step).and_then(|number| usize::try_from(number - self.first).ok());
        let former = at.and_then(|at| self.queue.get_mut(at));
        let waiting = Waiting { event, value };
        match former {
            Some(former) if discriminant(&former.event) == discriminant(&waiting.event) => *former = waiting,
            _ => {
                self.last.insert(step, self.first + self.queue.len() as u64);
                self.queue.push_back(waiting);
            }
        }
    }

    /// The next one to be sent.
    pub(crate) fn next(&self) -> Option<&Waiting> {
        self.queue.front()
    }

    /// It was sent.
    pub(crate) fn sent(&mut self) {
        let Some(Waiting { event, .. }) = self.queue.pop_front() else { return };
        if self.last.get(&event.step()) == Some(&self.first) {
            self.last.remove(&event.step());
        }
        self.first += 1;
    }

    /// All that is left, for the reply that ends the stream.
    pub(crate) fn take_rest(&mut self) -> Vec<GraphEvent> {
        self.last.clear();
        self.queue.drain(..).map(|waiting| waiting.event).collect()
    }
}

#[cfg(test)]
mod tests {
    use mpreg_types::{CallGraph, ForeignText, Pick};

    use super::*;
    use crate::plan::GraphLimits;

    fn events() -> Events {
        let graph = CallGraph { steps: Vec::new(), wanted: Vec::new(), report: true };
        Events::of(&Plan::new(graph, &Payload::default(), GraphLimits::default()).unwrap())
    }

    fn started(step: u32, node: &str) -> GraphEvent {
        GraphEvent::Started { step, node: ForeignText::new(node) }
    }

    fn finished(step: u32) -> GraphEvent {
        GraphEvent::Finished { step, node: ForeignText::default(), us: 1 }
    }

    #[test]
    fn they_leave_in_order() {
        let mut events = events();
        for event in [started(0, "a"), started(1, "a"), finished(0), finished(1)] {
            events.add(event, None);
        }
        events.sent();
        assert_eq!(events.next().map(|waiting| &waiting.event), Some(&started(1, "a")));
        assert_eq!(events.take_rest(), [started(1, "a"), finished(0), finished(1)]);
    }

    #[test]
    fn what_follows_its_like_takes_its_place_and_nothing_else_does() {
        let mut events = events();
        events.add(started(0, "gone"), None);
        events.sent();
        for event in [started(0, "a"), started(1, "a"), started(0, "b"), finished(0), started(0, "c")] {
            events.add(event, None);
        }
        assert_eq!(events.take_rest(), [started(0, "b"), started(1, "a"), finished(0), started(0, "c")]);
        events.add(started(0, "d"), None);
        assert_eq!(events.take_rest(), [started(0, "d")]);
    }

    #[test]
    fn only_small_values_of_steps_that_were_asked_for_as_a_whole_travel() {
        let mut events = events();
        let done = |bytes: usize| StepDone {
            value: StepValue::Inline(vec![0; bytes].into()),
            node: ForeignText::default(),
        };
        assert_eq!(events.value_of(0, &done(1)), None);
        events.wanted.extend([Pick { step: 0, path: Vec::new() }].map(|pick| pick.step));
        assert_eq!(events.value_of(0, &done(1)), Some(vec![0].into()));
        assert!(events.value_of(0, &done(INLINE_RESULT_BYTES)).is_some());
        assert_eq!(events.value_of(0, &done(INLINE_RESULT_BYTES + 1)), None);
    }
}
