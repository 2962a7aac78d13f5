//! Sees from Rust whether Python gets on: a node whose event loop no longer comes for its work is *busy*, and says so.
//!
//! One thread per process looks a few times a second while there is something to see, and sleeps until it is stirred
//! otherwise. While functions run it wakes their loop; a loop that does not come for a second is stuck, because a function
//! blocks it or somebody holds the interpreter. Looks are counted, not the time between them: a process that was stopped
//! (SIGSTOP) is not taken for stuck. The Python stack is fetched by a thread of its own, because the interpreter may not be
//! had; the state is told without it then.
//!
//! Invariant: who gives it something to see (a loop is woken, a function starts) does so before [`stir`].

use std::ffi::c_long;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::thread::Thread;
use std::time::Duration;

use mpreg_node::{Mailbox, Node};
use mpreg_types::ForeignText;
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;

use crate::bridge::Bridge;
use crate::{exit, log};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks at a loop that did not come before it counts as stuck: a second between the first and the last.
const STUCK_AFTER: u32 = 5;
/// How long the interpreter is waited for, to see the stack.
const STACK_MAX_WAIT: Duration = Duration::from_millis(200);
/// Innermost frames that are told.
const FRAMES_MAX: usize = 16;
/// Bytes of a stack that are told.
const STACK_BYTES_MAX: usize = 4096;
/// What is told where the interpreter could not be had.
const HELD: &str =
    "the interpreter is held by native code that does not release it; its stack cannot be seen";

static RUNS: AtomicBool = AtomicBool::new(false);
/// It sees nothing and sleeps without end.
static SLEEPS: AtomicBool = AtomicBool::new(false);
static WATCHER: Mutex<Option<Thread>> = Mutex::new(None);
static WATCHED: Mutex<Vec<Weak<Watched>>> = Mutex::new(Vec::new());
/// Threads that want the interpreter for a stack.
static FETCHING: AtomicUsize = AtomicUsize::new(0);

/// One node, as the watch sees it.
#[derive(Debug)]
pub(crate) struct Watched {
    node: Node,
    look: Mutex<Look>,
}

#[derive(Debug, Default)]
struct Look {
    /// Where its functions run: the loop's mailbox and thread.
    home: Option<(Arc<Mailbox>, c_long)>,
    /// How often the loop had come at the last look.
    taken: u64,
    /// Looks since at which it was awaited.
    still: u32,
    busy: bool,
}

impl Watched {
    pub(crate) fn new(node: Node) -> Arc<Self> {
        Arc::new(Self { node, look: Mutex::default() })
    }

    /// Its functions run on this loop from now on.
    pub(crate) fn serve_on(self: &Arc<Self>, bridge: &Bridge) {
        self.look.lock().home = Some((bridge.mailbox.clone(), bridge.thread));
        let mut all = WATCHED.lock();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(self));
    }

    /// True if it is to be looked at again soon.
    fn look(&self) -> bool {
        let mut look = self.look.lock();
        let Some((mailbox, thread)) = look.home.clone() else { return false };
        let (awaited, taken) = mailbox.progress();
        if taken != look.taken || !awaited {
            (look.taken, look.still) = (taken, 0);
            if std::mem::take(&mut look.busy) {
                self.node.set_busy(None);
            }
            let works = self.node.has_work();
            if works {
                mailbox.wake();
            }
            return awaited || works;
        }
        look.still = look.still.saturating_add(1);
        if look.still >= STUCK_AFTER && !look.busy {
            look.busy = true;
            drop(look);
            self.node.set_busy(Some(ForeignText::new(stack_of(thread).unwrap_or_else(|| HELD.to_owned()))));
        }
        true
    }
}

/// Starts the watch, unless it runs.
pub(crate) fn ensure_runs() {
    if !RUNS.swap(true, Ordering::AcqRel) {
        let started = std::thread::Builder::new().name("mpreg-watch".to_owned()).spawn(watch);
        RUNS.store(started.is_ok(), Ordering::Release);
    }
}

/// There may be something to see. Costs nothing while the watch is awake.
pub(crate) fn stir() {
    // Orders the look at the flag after what there is to see, as `rest` orders its look at that after the flag.
    fence(Ordering::SeqCst);
    if SLEEPS.load(Ordering::Relaxed)
        && SLEEPS.swap(false, Ordering::AcqRel)
        // Held by another thread: that one wakes it.
        && let Some(watcher) = WATCHER.try_lock()
        && let Some(watcher) = watcher.as_ref()
    {
        watcher.unpark();
    }
}

/// The interpreter ends: whoever wants it still is waited for.
pub(crate) fn end(py: Python<'_>) {
    exit::await_or_give_up(py, || FETCHING.load(Ordering::Acquire) == 0);
}

/// This is a child made by `fork`: the thread is not here, nor are the nodes it looked at.
pub(crate) fn forget_all() {
    RUNS.store(false, Ordering::Release);
    SLEEPS.store(false, Ordering::Release);
    // The lock may be held by the thread that does not exist here.
    if let Some(mut all) = WATCHED.try_lock() {
        std::mem::forget(std::mem::take(&mut *all));
    }
}

fn watch() {
    *WATCHER.lock() = Some(std::thread::current());
    while !exit::has_begun() {
        if !look_at_all() {
            rest();
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// True if there is something to look at again soon.
fn look_at_all() -> bool {
    let lines_wait = log::tell_overdue();
    let all: Vec<_> = WATCHED.lock().iter().filter_map(Weak::upgrade).collect();
    all.iter().fold(lines_wait, |soon, watched| watched.look() || soon)
}

/// Sleeps until it is stirred, unless something came up meanwhile.
fn rest() {
    SLEEPS.store(true, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    if look_at_all() {
        SLEEPS.store(false, Ordering::Relaxed);
    }
    while SLEEPS.load(Ordering::Acquire) {
        std::thread::park();
    }
}

/// Where a thread's Python code stands; `None` if the interpreter cannot be had.
fn stack_of(thread: c_long) -> Option<String> {
    let (tell, told) = mpsc::channel();
    FETCHING.fetch_add(1, Ordering::AcqRel);
    let fetch = move || {
        if !exit::has_begun() {
            let stack = Python::attach(|py| format_stack(py, thread));
            // Whoever asked may have given up.
            let _ = tell.send(stack);
        }
        FETCHING.fetch_sub(1, Ordering::AcqRel);
    };
    if std::thread::Builder::new().name("mpreg-stack".to_owned()).spawn(fetch).is_err() {
        FETCHING.fetch_sub(1, Ordering::AcqRel);
    }
    told.recv_timeout(STACK_MAX_WAIT).ok()?.ok()
}

fn format_stack(py: Python<'_>, thread: c_long) -> PyResult<String> {
    let frames = py.import(intern!(py, "sys"))?.call_method0(intern!(py, "_current_frames"))?;
    let frame = frames.get_item(thread)?;
    let lines = py.import(intern!(py, "traceback"))?.call_method1(intern!(py, "format_stack"), (frame,))?;
    let lines: Vec<String> = lines.extract()?;
    let mut text = lines[lines.len().saturating_sub(FRAMES_MAX)..].concat();
    // The innermost frames say what blocks.
    if text.len() > STACK_BYTES_MAX {
        let cut = text.len() - STACK_BYTES_MAX;
        let cut = (cut..text.len()).find(|index| text.is_char_boundary(*index)).unwrap_or(0);
        text.drain(..cut);
    }
    Ok(text)
}
