//! The agenda: what is to be done when. One queue of our own, so that a node that slept can shift all of it at once.

use std::collections::BTreeMap;
use std::time::Duration;

use mpreg_types::{NodeId, Time};

use crate::swim_id::SwimId;

/// Something to do later.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    /// Hand this back to foca.
    Swim(foca::Timer<SwimId>),
    /// Compare tables with one random peer.
    Repair,
    /// Send the news that was gathered.
    SendNews,
}

/// Order of the agenda: by time, then as foca wants it for equal times, then first in first out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    at: Time,
    rank: u8,
    sequence: u64,
}

/// Tasks by time, and the deadlines of running suspicions.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    tasks: BTreeMap<Slot, Task>,
    suspicions: BTreeMap<NodeId, Time>,
    sequence: u64,
}

impl Schedule {
    /// Adds a task.
    pub(crate) fn add(&mut self, at: Time, task: Task) {
        // The end of a probe looks at whether its indirect stage ran, so at the same instant that stage is first.
        let rank = u8::from(!matches!(task, Task::Swim(foca::Timer::SendIndirectProbe { .. })));
        self.sequence += 1;
        self.tasks.insert(Slot { at, rank, sequence: self.sequence }, task);
    }

    /// Takes the next task that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Task> {
        let first = self.tasks.first_entry()?;
        if first.key().at <= now { Some(first.remove()) } else { None }
    }

    /// `probed` has answered, so nobody else has to be asked to probe it. foca insists on that stage all the same; it waits
    /// for the end of the probe, because a node is not to be woken for nothing three times a second.
    pub(crate) fn probe_answered(&mut self, probed: SwimId) {
        let is_stage = |task: &Task| matches!(task, Task::Swim(foca::Timer::SendIndirectProbe { probed_id, .. }) if *probed_id == probed);
        let is_end = |task: &Task| matches!(task, Task::Swim(foca::Timer::ProbeRandomMember(_)));
        let slot =
            |is: &dyn Fn(&Task) -> bool| self.tasks.iter().find(|(_, task)| is(task)).map(|(slot, _)| *slot);
        if let (Some(stage), Some(end)) = (slot(&is_stage), slot(&is_end))
            && stage.at < end.at
            && let Some(task) = self.tasks.remove(&stage)
        {
            self.add(end.at, task);
        }
    }

    /// The suspicion of `node` ends at `at`, whatever was set before.
    pub(crate) fn set_suspicion(&mut self, node: NodeId, at: Time) {
        self.suspicions.insert(node, at);
    }

    /// The running suspicion of `node` ends at `at` if it would end later.
    pub(crate) fn shorten_suspicion(&mut self, node: NodeId, at: Time) {
        if let Some(deadline) = self.suspicions.get_mut(&node) {
            *deadline = at.min(*deadline);
        }
    }

    /// The suspicion is over.
    pub(crate) fn end_suspicion(&mut self, node: NodeId) {
        self.suspicions.remove(&node);
    }

    /// Takes one node whose time to refute is over.
    pub(crate) fn pop_suspicion(&mut self, now: Time) -> Option<NodeId> {
        let node = self.suspicions.iter().find(|(_, at)| **at <= now).map(|(node, _)| *node)?;
        self.suspicions.remove(&node);
        Some(node)
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Time> {
        let task = self.tasks.keys().next().map(|slot| slot.at);
        let suspicion = self.suspicions.values().min().copied();
        task.into_iter().chain(suspicion).min()
    }

    /// This node slept: everything is due that much later, and so nobody is accused for our sleep.
    pub(crate) fn shift(&mut self, by: Duration) {
        let tasks = std::mem::take(&mut self.tasks);
        self.tasks =
            tasks.into_iter().map(|(slot, task)| (Slot { at: slot.at + by, ..slot }, task)).collect();
        for deadline in self.suspicions.values_mut() {
            *deadline += by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn tasks_come_in_order_of_time_and_then_of_arrival() {
        let mut schedule = Schedule::default();
        schedule.add(at(20), Task::Repair);
        schedule.add(at(10), Task::SendNews);
        schedule.add(at(10), Task::Repair);
        assert_eq!(schedule.next(), Some(at(10)));
        assert!(schedule.pop_due(at(9)).is_none());
        assert!(matches!(schedule.pop_due(at(30)), Some(Task::SendNews)));
        assert!(matches!(schedule.pop_due(at(30)), Some(Task::Repair)));
        assert_eq!(schedule.next(), Some(at(20)));
    }

    #[test]
    fn nobody_is_woken_for_others_to_ask_once_a_probe_was_answered() {
        let id = |byte| SwimId {
            node: NodeId::from_bytes([byte; 16]),
            incarnation: mpreg_types::Incarnation(1),
            generation: 0,
        };
        let mut schedule = Schedule::default();
        schedule.add(at(100), Task::Swim(foca::Timer::SendIndirectProbe { probed_id: id(1), token: 0 }));
        schedule.add(at(300), Task::Swim(foca::Timer::ProbeRandomMember(0)));
        schedule.probe_answered(id(2));
        assert_eq!(schedule.next(), Some(at(100)));
        schedule.probe_answered(id(1));
        schedule.probe_answered(id(1));
        assert_eq!(schedule.next(), Some(at(300)));
        let stage = schedule.pop_due(at(300));
        assert!(
            matches!(stage, Some(Task::Swim(foca::Timer::SendIndirectProbe { .. }))),
            "foca checks the order"
        );
        assert!(matches!(schedule.pop_due(at(300)), Some(Task::Swim(foca::Timer::ProbeRandomMember(_)))));
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn a_suspicion_is_only_shortened_and_a_shift_moves_all() {
        let (mut schedule, node) = (Schedule::default(), NodeId::from_bytes([1; 16]));
        schedule.shorten_suspicion(node, at(5));
        assert_eq!(schedule.next(), None);
        schedule.set_suspicion(node, at(100));
        schedule.shorten_suspicion(node, at(200));
        schedule.shorten_suspicion(node, at(50));
        schedule.add(at(60), Task::Repair);
        schedule.shift(Duration::from_secs(1));
        assert_eq!(schedule.next(), Some(at(1050)));
        assert_eq!(schedule.pop_suspicion(at(1049)), None);
        assert_eq!(schedule.pop_suspicion(at(1050)), Some(node));
        assert_eq!(schedule.next(), Some(at(1060)));
    }
}
