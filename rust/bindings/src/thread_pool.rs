//! Worker threads for plain `def` functions.
//!
//! Threads that all run Python fight for one interpreter, so as few as possible are active: one thread works the queue
//! off, staying attached, and one stands by without the interpreter. Only when the queue has not moved for
//! [`STANDBY`] (the active ones are blocked in I/O or in long work) does the stand-by become active and another one
//! takes its post. Short functions so run back to back on one thread, blocking ones spread over `threads`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::c_long;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use mpreg_node::{Dispatcher, Invocation, InvocationKey, Mailbox, Replies};
use mpreg_types::{ErrorBody, ErrorCode};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;

use crate::context::CallInfo;
use crate::exit;
use crate::invocation::{Answer, prepare};
use crate::registration::Function;
use crate::thread_streams::StreamJob;

/// How long the queue may stand still before one more thread helps.
const STANDBY: Duration = Duration::from_micros(250);
/// Answers kept for one write while more calls wait.
const REPLIES_MAX: usize = 64;
/// How long closing waits for running functions.
const JOIN_MAX: Duration = Duration::from_secs(1);

/// The threads of one node.
#[derive(Debug, Clone)]
pub(crate) struct ThreadPool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    threads_max: usize,
    state: Mutex<State>,
    /// For idle threads and the one on stand-by.
    work: Condvar,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Work>,
    running: HashMap<InvocationKey, Arc<CallInfo>>,
    /// Generators whose next item waits for credit.
    parked: HashMap<InvocationKey, StreamJob>,
    /// Credit that came before its generator was parked.
    resumed: HashSet<InvocationKey>,
    /// Taken off the queue so far: tells whether it moves.
    taken: u64,
    threads: usize,
    /// Of those, how many have not had the interpreter yet.
    starting: usize,
    active: usize,
    idle: usize,
    standing_by: bool,
    closed: bool,
    handles: Vec<JoinHandle<()>>,
    /// The threads as Python names them.
    names: Vec<c_long>,
}

/// What a thread takes up.
#[derive(Debug)]
enum Work {
    Call(Box<Invocation>),
    /// There is credit, or nobody reads any more.
    Stream(Box<StreamJob>),
}

/// The pools of the process, for its end.
static POOLS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// The interpreter ends: no thread takes another call, and those that run one are asked to come out of it.
pub(crate) fn end_all(py: Python<'_>) {
    let pools: Vec<Arc<Shared>> = POOLS.lock().iter().filter_map(Weak::upgrade).collect();
    for pool in &pools {
        let mut state = pool.state.lock();
        state.closed = true;
        let names = if state.active > 0 { state.names.clone() } else { Vec::new() };
        pool.work.notify_all();
        drop(state);
        exit::interrupt(py, &names);
    }
    let wants_none = |pool: &Arc<Shared>| {
        let state = pool.state.lock();
        state.active == 0 && state.starting == 0
    };
    exit::await_or_give_up(py, || pools.iter().all(wants_none));
}

impl ThreadPool {
    /// No thread is started before the first call.
    pub(crate) fn new(threads_max: usize) -> Self {
        let shared = Arc::new(Shared {
            threads_max: threads_max.max(1),
            state: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
        });
        let mut pools = POOLS.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&shared));
        Self(shared)
    }

    /// Refuses what waits and lets the threads end; waits at most a second. The caller is detached.
    pub(crate) fn close(&self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        let waiting = (std::mem::take(&mut state.queue), std::mem::take(&mut state.parked));
        self.0.work.notify_all();
        drop(state);
        drop(waiting);
        let deadline = std::time::Instant::now() + JOIN_MAX;
        let mut state = self.0.state.lock();
        while state.threads > 0 {
            if self.0.ended.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
        let handles = std::mem::take(&mut state.handles);
        drop(state);
        for handle in handles {
            let _ = handle.join();
        }
    }
}

impl Dispatcher for ThreadPool {
    fn deliver(&self, invocations: &mut Vec<Invocation>) {
        let mut state = self.0.state.lock();
        if state.closed {
            // Their tickets answer for them.
            invocations.clear();
            return;
        }
        state.queue.extend(invocations.drain(..).map(|call| Work::Call(Box::new(call))));
        Shared::see_to_queue(&self.0, &mut state);
    }

    fn resume(&self, key: InvocationKey) {
        let mut state = self.0.state.lock();
        if let Some(job) = state.parked.remove(&key) {
            Shared::take_up(&self.0, &mut state, job);
        } else if state.running.contains_key(&key) {
            state.resumed.insert(key);
        }
    }

    fn cancel(&self, key: InvocationKey) {
        let mut state = self.0.state.lock();
        if let Some(info) = state.running.get(&key) {
            info.cancel();
        } else if let Some(job) = state.parked.remove(&key) {
            Shared::take_up(&self.0, &mut state, job);
        } else if let Some(index) = state.queue.iter().position(|work| work.is_call(key))
            && let Some(Work::Call(invocation)) = state.queue.remove(index)
        {
            drop(state);
            let body = ErrorBody::new(ErrorCode::CancelledByPeer, "the caller cancelled the call");
            let mut replies = Replies::default();
            Answer::refuse(invocation.ticket, body).send(&mut replies);
            replies.flush();
        }
    }

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        None
    }
}

impl Work {
    fn is_call(&self, key: InvocationKey) -> bool {
        matches!(self, Self::Call(invocation) if invocation.ticket.key() == key)
    }
}

impl Shared {
    /// With active threads the stand-by watches the queue; without one somebody has to take that post.
    fn see_to_queue(shared: &Arc<Self>, state: &mut State) {
        if state.active == 0 || !state.standing_by {
            Self::call_up(shared, state);
        }
    }

    fn take_up(shared: &Arc<Self>, state: &mut State, job: StreamJob) {
        state.queue.push_back(Work::Stream(Box::new(job)));
        Self::see_to_queue(shared, state);
    }

    /// Wakes an idle thread, or starts one.
    fn call_up(shared: &Arc<Self>, state: &mut State) {
        if state.idle > 0 || state.threads >= shared.threads_max {
            shared.work.notify_one();
            return;
        }
        let own = shared.clone();
        let builder = std::thread::Builder::new().name("mpreg-handler".to_owned());
        if let Ok(handle) = builder.spawn(move || own.run()) {
            state.threads += 1;
            state.starting += 1;
            state.handles.push(handle);
        }
    }

    fn run(self: Arc<Self>) {
        if exit::has_begun() {
            self.state.lock().starting -= 1;
            exit::hold_back();
        }
        // Attached once and detached again: the thread keeps its interpreter state, so attaching later is cheap.
        Python::attach(|py| {
            // A thread without a name is only not asked to come out at the end.
            let name = exit::this_thread(py).ok();
            self.state.lock().names.extend(name);
            py.detach(|| {
                self.state.lock().starting -= 1;
                let mut replies = Replies::helping();
                while self.wait_for_work() {
                    Python::attach(|py| self.work_off(py, &mut replies));
                }
                exit::hold_back();
            });
        });
        self.state.lock().threads -= 1;
        self.ended.notify_all();
    }

    /// Until this thread shall become active; false when the pool closes.
    fn wait_for_work(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return false;
            }
            if !state.queue.is_empty()
                && (state.active == 0 || (!state.standing_by && self.stand_by(&mut state)))
            {
                if state.closed {
                    return false;
                }
                state.active += 1;
                if !state.standing_by && state.queue.len() > 1 {
                    Self::call_up(self, &mut state);
                }
                return true;
            }
            state.idle += 1;
            self.work.wait(&mut state);
            state.idle -= 1;
        }
    }

    /// Watches the queue; true when it has stood still with work in it.
    fn stand_by(&self, state: &mut parking_lot::MutexGuard<'_, State>) -> bool {
        state.standing_by = true;
        let stuck = loop {
            let taken = state.taken;
            let _ = self.work.wait_for(state, STANDBY);
            if state.closed || state.queue.is_empty() {
                break false;
            }
            if state.active == 0 || state.taken == taken {
                break true;
            }
        };
        state.standing_by = false;
        stuck
    }

    /// Runs calls until the queue is empty.
    fn work_off(&self, py: Python<'_>, replies: &mut Replies) {
        let mut unsent = 0;
        loop {
            let mut state = self.state.lock();
            let Some(work) = state.queue.pop_front() else {
                state.active -= 1;
                drop(state);
                return replies.flush();
            };
            if state.closed {
                // Its ticket answers for it.
                drop(state);
                drop(work);
                continue;
            }
            state.taken += 1;
            let more = !state.queue.is_empty();
            drop(state);
            match work {
                Work::Call(invocation) => self.run_one(py, *invocation, replies),
                Work::Stream(job) => self.advance(py, *job, replies),
            }
            unsent += 1;
            if !more || unsent >= REPLIES_MAX {
                replies.flush();
                unsent = 0;
            }
        }
    }

    fn run_one(&self, py: Python<'_>, invocation: Invocation, replies: &mut Replies) {
        let Ok(function) = invocation.handler.clone().downcast::<Function>() else { return };
        let key = invocation.ticket.key();
        match prepare(py, function, invocation) {
            Err(refusal) => refusal.send(replies),
            Ok(ready) => {
                self.state.lock().running.insert(key, ready.running.info.clone());
                if ready.running.ticket.is_cancelled() {
                    // Between the queue and here nobody found it.
                    ready.running.info.cancel();
                }
                let streams = ready.running.function.streaming;
                let (outcome, context, running) = ready.call();
                if streams {
                    match StreamJob::new(outcome, &context, running, replies) {
                        // Once it is parked another thread may run it: nothing of it is touched here any more.
                        Some(job) => self.advance(py, job, replies),
                        None => drop(self.state.lock().running.remove(&key)),
                    }
                    return;
                }
                self.state.lock().running.remove(&key);
                running.conclude(py, outcome).send(replies);
            }
        }
    }

    /// Gives a generator its turn, and parks it if an item has to wait.
    fn advance(&self, py: Python<'_>, job: StreamJob, replies: &mut Replies) {
        let key = job.key();
        self.state.lock().running.insert(key, job.running().info.clone());
        let waits = job.advance(py, replies);
        // What waits is not sent with others.
        replies.flush();
        let mut state = self.state.lock();
        state.running.remove(&key);
        let resumed = state.resumed.remove(&key);
        match waits {
            Some(job) if state.closed => {
                drop(state);
                drop(job);
            }
            // This thread looks at the queue again.
            Some(job) if resumed || job.is_closed() => state.queue.push_back(Work::Stream(Box::new(job))),
            Some(job) => {
                state.parked.insert(key, job);
            }
            None => {}
        }
    }
}
