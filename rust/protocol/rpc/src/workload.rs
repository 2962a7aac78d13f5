//! How much work of its own a node holds at one time: counts that its switch and its call tables share, because calls
//! within the process bypass the switch.
//!
//! Invariant: every count rises and falls by guards ([`Running`], [`Waiting`]) only, so nothing leaks when a call ends
//! in an unusual way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use mpreg_routing::Slots;
use mpreg_types::Load;

/// Bounds of a node's own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkloadConfig {
    /// `async def` (and inline) calls running at one time.
    pub concurrency: u32,
    /// Plain `def` calls running at one time: the number of worker threads.
    pub threads: u32,
    /// Calls waiting at one time for a slot, a candidate or credit, over all functions.
    pub waiting: u32,
    /// Bytes of arguments of the waiting calls.
    pub waiting_bytes: u64,
    /// Bytes of inputs that steps of graphs have here before their functions start: fetched ones, and those on their way.
    pub gathered_bytes: u64,
}

impl Default for WorkloadConfig {
    fn default() -> Self {
        Self {
            concurrency: 10_000,
            threads: 40,
            waiting: 10_000,
            waiting_bytes: 64 << 20,
            gathered_bytes: 2 << 30,
        }
    }
}

/// What a function needs to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// On an event loop, counted against `concurrency`.
    OnLoop,
    /// In a worker thread, counted against `threads`.
    InThread,
}

/// A node's counts.
#[derive(Debug)]
pub struct Workload {
    config: WorkloadConfig,
    on_loop: Arc<Slots>,
    in_threads: Arc<Slots>,
    waiting: AtomicU32,
    waiting_bytes: AtomicU64,
    gathered_bytes: AtomicU64,
}

impl Workload {
    /// Nothing to do yet.
    pub fn new(config: WorkloadConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            on_loop: Arc::new(Slots::new(Some(config.concurrency), None)),
            in_threads: Arc::new(Slots::new(Some(config.threads), None)),
            waiting: AtomicU32::new(0),
            waiting_bytes: AtomicU64::new(0),
            gathered_bytes: AtomicU64::new(0),
        })
    }

    /// The bounds.
    pub fn config(&self) -> &WorkloadConfig {
        &self.config
    }

    /// Slots for a function of this node, with its `concurrency=` if it was given one.
    pub fn function_slots(&self, runs: Runs, concurrency: Option<u32>) -> Arc<Slots> {
        let shared = match runs {
            Runs::OnLoop => &self.on_loop,
            Runs::InThread => &self.in_threads,
        };
        Arc::new(Slots::new(concurrency, Some(shared.clone())))
    }

    /// What replies tell callers.
    pub fn load(&self) -> Load {
        let in_flight = self.on_loop.taken().saturating_add(self.in_threads.taken());
        Load { in_flight, queued: self.waiting.load(Relaxed) }
    }

    /// Room for a waiting call with `bytes` bytes of arguments; `None` if the node is overloaded.
    pub(crate) fn try_wait(self: &Arc<Self>, bytes: u64) -> Option<Waiting> {
        let one_more = |waiting: u32| (waiting < self.config.waiting).then_some(waiting + 1);
        self.waiting.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        let most = self.config.waiting_bytes;
        let add = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= most);
        if self.waiting_bytes.fetch_update(Relaxed, Relaxed, add).is_err() {
            self.waiting.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Waiting { workload: self.clone(), bytes })
    }

    /// Room for `bytes` bytes of inputs of a step; `None` if there are too many already. Nobody waits for that room: who
    /// has it may wait for a slot that a function holds which waits for this very step. One step alone may have more.
    pub(crate) fn try_gather(self: &Arc<Self>, bytes: u64) -> Option<Gathered> {
        let most = self.config.gathered_bytes;
        let add = |held: u64| held.checked_add(bytes).filter(|sum| held == 0 || *sum <= most);
        self.gathered_bytes.fetch_update(Relaxed, Relaxed, add).ok()?;
        Some(Gathered { workload: self.clone(), bytes })
    }
}

/// One running call. To be dropped when the function has really ended, not when its caller stopped waiting.
#[derive(Debug)]
#[must_use = "dropping it frees the slot"]
pub struct Running {
    slots: Arc<Slots>,
    /// Its end was counted.
    counted: bool,
}

impl Running {
    /// A slot, if one is free.
    pub(crate) fn start(slots: &Arc<Slots>) -> Option<Self> {
        slots.try_take().then(|| Self { slots: slots.clone(), counted: false })
    }

    /// Its answer is known, `took` after the call arrived. To be told once; one that is dropped without counts as an error.
    pub fn answered(&mut self, took: Duration, ok: bool) {
        self.counted = true;
        self.slots.tally().answered(took, ok);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.counted {
            self.slots.tally().given_up();
        }
        self.slots.give_back();
    }
}

/// One waiting call.
#[derive(Debug)]
#[must_use = "dropping it frees the place"]
pub(crate) struct Waiting {
    workload: Arc<Workload>,
    bytes: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.workload.waiting.fetch_sub(1, Relaxed);
        self.workload.waiting_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// The inputs of one step, from when they are asked for until its function has them.
#[derive(Debug)]
#[must_use = "dropping it frees the room"]
pub(crate) struct Gathered {
    workload: Arc<Workload>,
    bytes: u64,
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.workload.gathered_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload() -> Arc<Workload> {
        Workload::new(WorkloadConfig {
            concurrency: 3,
            threads: 1,
            waiting: 2,
            waiting_bytes: 100,
            gathered_bytes: 100,
        })
    }

    #[test]
    fn threads_and_loops_are_counted_apart_and_in_one_load() {
        let node = workload();
        let plain = node.function_slots(Runs::InThread, None);
        let task = node.function_slots(Runs::OnLoop, Some(2));
        let first = Running::start(&plain).unwrap();
        assert!(Running::start(&plain).is_none());
        let rest = [Running::start(&task).unwrap(), Running::start(&task).unwrap()];
        assert!(Running::start(&task).is_none());
        assert_eq!(node.load().in_flight, 3);
        drop(first);
        assert!(plain.has_free());
        drop(rest);
        assert_eq!(node.load(), Load::default());
    }

    #[test]
    fn a_call_is_counted_once_however_it_ends() {
        let task = workload().function_slots(Runs::OnLoop, None);
        let mut running = Running::start(&task).unwrap();
        running.answered(Duration::from_micros(5), true);
        drop(running);
        drop(Running::start(&task).unwrap());
        let read = task.tally().read();
        assert_eq!((read.calls, read.errors, read.times.len()), (2, 1, 1));
    }

    #[test]
    fn inputs_are_bounded_together_but_not_those_of_one_step_alone() {
        let node = workload();
        let large = node.try_gather(1000).unwrap();
        assert!(node.try_gather(1).is_none());
        drop(large);
        let half = node.try_gather(50).unwrap();
        let other = node.try_gather(50).unwrap();
        assert!(node.try_gather(1).is_none());
        drop((half, other));
        assert!(node.try_gather(100).is_some());
    }

    #[test]
    fn waiting_is_bounded_by_calls_and_by_bytes() {
        let node = workload();
        let big = node.try_wait(90).unwrap();
        assert!(node.try_wait(11).is_none());
        let small = node.try_wait(10).unwrap();
        assert!(node.try_wait(0).is_none());
        assert_eq!(node.load().queued, 2);
        drop((big, small));
        assert!(node.try_wait(100).is_some());
        assert_eq!(node.load().queued, 0);
    }
}
