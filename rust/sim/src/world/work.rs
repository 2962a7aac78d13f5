//! Calls are made, and simulated handlers do them: some slowly, some fail, some never answer.

use std::sync::Arc;
use std::time::Duration;

use mpreg_rpc::{CallKey, Request, Route};
use mpreg_types::{
    CallId, ErrorBody, ErrorCode, Executed, FunctionName, HopBudget, Payload, PreparedTarget, ReplyHead,
    Selector, Target, Wanted,
};

use super::World;
use super::boot::BRIDGE;
use super::streams::WORK_STREAM;
use crate::graphs::Knock;
use crate::item::{Item, Spot};
use crate::job::{Job, JobKey};
use crate::ledger::{Fate, Received};

/// The functions that callers ask for.
pub(crate) const WORK_ONCE: &str = "work.once";
pub(crate) const WORK_AGAIN: &str = "work.again";

/// How handlers and callers behave.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Of a hundred jobs so many are refused before the function begins (arguments that do not fit).
    pub refuses: u64,
    /// So many raise.
    pub raises: u64,
    /// So many never end by themselves.
    pub hangs: u64,
    /// Of a hundred callers so many stop waiting at a random moment.
    pub gives_up: u64,
    /// Longest wait in the dispatcher.
    pub queue: Duration,
    /// Longest work.
    pub work: Duration,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            refuses: 8,
            raises: 15,
            hangs: 3,
            gives_up: 10,
            queue: Duration::from_millis(4),
            work: Duration::from_millis(80),
        }
    }
}

impl World {
    /// `count` calls by random running processes within `duration` from now.
    pub fn load(&mut self, count: usize, duration: Duration) {
        self.spread(count, duration, Item::Call);
    }

    /// Something for random running processes, `count` times within `duration` from now.
    pub(crate) fn spread(&mut self, count: usize, duration: Duration, what: impl Fn(Spot) -> Item) {
        let running = self.running_with_clients();
        for _ in 0..count {
            let place = self.pick(&running);
            let after = self.random_time(duration);
            if let Some(process) = &self.places[place].process {
                let spot = Spot { place, start: process.start };
                self.after(after, what(spot));
            }
        }
    }

    pub(crate) fn call(&mut self, spot: Spot, stream: bool) {
        if !self.is_there(spot) {
            return;
        }
        let now = self.now;
        let idempotent = self.random(2) == 0 || stream;
        let hint = idempotent && self.random(2) == 0;
        let deadline = now + Duration::from_millis(20) + self.random_time(Duration::from_millis(800));
        let retries = u8::try_from(self.random(4)).unwrap_or(0);
        let is_client = self.places[spot.place].is_client;
        let wanted = match (stream, idempotent) {
            (true, _) => WORK_STREAM,
            (false, true) => WORK_AGAIN,
            (false, false) => WORK_ONCE,
        };
        let Some(target) = target(wanted) else { return };
        let request = Request {
            route: if is_client { Route::Entry } else { Route::Mesh },
            target,
            deadline,
            retries,
            idempotent: hint,
            stream,
            hops: HopBudget::NEIGHBOURS,
            extras: None,
        };
        let Some(id) = self.next_call_id(spot.place) else { return };
        let fate = Fate {
            caller: spot.place,
            start: spot.start,
            idempotent,
            deadline,
            executions: Vec::new(),
            cancelled: false,
            endings: Vec::new(),
            stream: stream.then(Received::default),
        };
        self.ledger.fates.insert(id, fate);
        let mut key = None;
        self.with_table(spot.place, BRIDGE, |table, desk, done| {
            let begun = table.begin(request, Payload::from(vec![0xc0]), now, desk, done);
            if let Some(process) = &mut desk.world.places[spot.place].process {
                process.calls.insert(begun, id);
            }
            key = Some(begun);
        });
        if let (Some(key), true) = (key, self.random(100) < self.habits.gives_up) {
            let patience = self.random_time(Duration::from_millis(300));
            self.after(patience, Item::GiveUp(spot, key));
        }
    }

    /// The identity that the table will give to its next call: it counts them.
    fn next_call_id(&self, place: usize) -> Option<CallId> {
        let here = &self.places[place];
        let begun = here.process.as_ref()?.table.as_ref()?.counters().begun + 1;
        let sequence = (u64::from(BRIDGE) << 48) + begun;
        Some(CallId { origin: here.id, incarnation: here.incarnation, sequence })
    }

    pub(crate) fn give_up(&mut self, spot: Spot, key: CallKey) {
        if !self.is_there(spot) {
            return;
        }
        let mut waits = false;
        self.with_table(spot.place, BRIDGE, |table, desk, _| waits = table.cancel(key, desk));
        let Some(process) = &mut self.places[spot.place].process else { return };
        if waits
            && let Some(graph) = process.graph_calls.remove(&key)
            && let Some(fate) = self.ledger.graphs.get_mut(&graph)
        {
            fate.cancelled = true;
        } else if waits
            && let Some(call) = process.calls.remove(&key)
            && let Some(fate) = self.ledger.fates.get_mut(&call)
        {
            fate.cancelled = true;
        }
    }

    pub(crate) fn take_job(&mut self, place: usize, key: JobKey, job: Job) {
        let pause = self.random_time(self.habits.queue);
        let Some(process) = &mut self.places[place].process else { return };
        let spot = Spot { place, start: process.start };
        let former = process.jobs.insert(key, job);
        assert!(former.is_none(), "a call was handed to its function twice: {former:?}");
        self.after(pause, Item::JobBegins(spot, key));
    }

    /// The word to a handler that nobody waits. Half of them heed it.
    pub(crate) fn stop_job(&mut self, place: usize, key: JobKey) {
        let heeds = self.random(2) == 0;
        let Some(process) = &mut self.places[place].process else { return };
        let spot = Spot { place, start: process.start };
        if process.jobs.get(&key).is_some_and(|job| job.begun && job.making.is_some()) {
            return self.resume_stream(place, key);
        }
        if !process.jobs.contains_key(&key) {
            return self.knock(place, Knock::Cancel(key));
        }
        if heeds && process.jobs.get(&key).is_some_and(|job| job.begun) {
            self.after(Duration::from_micros(100), Item::JobEnds(spot, key));
        }
    }

    pub(crate) fn job_begins(&mut self, spot: Spot, key: JobKey) {
        if !self.is_there(spot) {
            return;
        }
        let (luck, work, now) = (self.random(100), self.random_time(self.habits.work), self.now);
        let habits = self.habits;
        let Some(process) = &mut self.places[spot.place].process else { return };
        let Some(job) = process.jobs.get_mut(&key) else { return };
        if luck < habits.refuses || now >= job.deadline {
            return self.answer(spot.place, key, Some((ErrorCode::BadArguments, Executed::No)));
        }
        if !job.claim.begin() {
            return self.answer(spot.place, key, None);
        }
        job.begun = true;
        let streams = job.making.is_some();
        job.hangs = luck < habits.refuses + habits.hangs && !streams;
        let (call, hangs, arguments) = (job.call, job.hangs, job.value.clone());
        self.step_begins(&arguments);
        let mut execution = 0;
        if let Some(fate) = self.ledger.fates.get_mut(&call) {
            fate.executions.push(now);
            execution = fate.executions.len();
        }
        if streams {
            return self.stream_begins(spot, key, execution);
        }
        if !hangs {
            // Most calls are short; some are long enough to be reported as started.
            let work = if luck % 3 == 0 { work } else { work / 20 };
            self.after(work, Item::JobEnds(spot, key));
        }
    }

    pub(crate) fn job_ends(&mut self, spot: Spot, key: JobKey) {
        // It may have heeded a cancellation before.
        let works = |world: &Self| {
            let process = world.places[spot.place].process.as_ref();
            process.and_then(|process| process.jobs.get(&key)).is_some_and(|job| job.begun)
        };
        if self.is_there(spot) && works(self) {
            let raises = self.random(100) < self.habits.raises;
            self.answer(spot.place, key, raises.then_some((ErrorCode::Remote, Executed::Yes)));
        }
    }

    pub(crate) fn answer(&mut self, place: usize, key: JobKey, error: Option<(ErrorCode, Executed)>) {
        let Some(process) = &mut self.places[place].process else { return };
        let Some(job) = process.jobs.remove(&key) else { return };
        if let Some((code, executed)) = error {
            let body = Box::new(ErrorBody::new(code, "as asked for"));
            return self.answer_with(place, key, job, Err((body, executed)));
        }
        let (head, value) = self.outcome(place, &job);
        self.answer_job(place, key, job, head, value);
    }

    pub(crate) fn answer_job(
        &mut self,
        place: usize,
        key: JobKey,
        job: Job,
        head: ReplyHead,
        value: Payload,
    ) {
        let now = self.now;
        match (key, job.reply_to) {
            (JobKey::Remote(inbound), Some((to, stream))) => {
                if job.claim.answer() {
                    self.reply(place, to, stream, &head, value);
                }
                drop(job);
                self.with_switch(place, |switch, out| switch.finished(inbound, now, out));
            }
            (JobKey::Local(call), _) => {
                drop(job);
                self.with_table(place, call.bridge(), |table, desk, done| {
                    table.local_result(call, head, value, now, desk, done);
                });
            }
            (JobKey::Remote(_), None) => unreachable!("a call that came over a connection has one"),
        }
    }
}

fn target(name: &str) -> Option<Arc<PreparedTarget>> {
    let name = FunctionName::parse(name).ok()?;
    Some(Arc::new(PreparedTarget::new(Target::Select(Selector::new(Wanted::Name(name))))))
}
