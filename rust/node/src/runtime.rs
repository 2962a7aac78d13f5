//! The two threads of a process, shared by all its nodes and clients.
//!
//! `mpreg-io` runs sockets, framing and the `Switch` of every node; `mpreg-control` runs engines, dials, handshakes and
//! signature checks. Each is a current-thread tokio runtime: on the few cores a Python process has, that is faster
//! than work stealing, and what lives on a thread needs no lock. They start at the first use, so a process that
//! only imports mpreg can fork freely.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mpreg_transport::Lane;
use mpreg_types::{ConnectionId, Time};
use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use crate::clock::Clock;
use crate::connections::Connections;
use crate::error::NodeError;
use crate::mailbox::{Item, Mailboxes, PortId};

/// Something to run on one of the threads; it may `spawn_local`.
type Job = Box<dyn FnOnce() + Send>;

/// How long a process waits for its threads when it ends.
const JOIN_MAX: Duration = Duration::from_secs(1);

static CURRENT: ArcSwapOption<Runtime> = ArcSwapOption::const_empty();

/// Now, on the clock that all deadlines of this process are told in.
pub fn now() -> Time {
    CLOCK.now()
}

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::start);

/// Counts forks: what was made under another number belongs to a parent of this process. Asking the system for the
/// process id would be a system call on every call.
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Acquire)
}

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The threads of this process and what all its nodes share.
#[derive(Debug)]
pub struct Runtime {
    generation: u32,
    io: Thread,
    control: Thread,
    pub(crate) clock: Clock,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) connections: Connections,
}

impl Runtime {
    /// The runtime of this process, started at the first call.
    pub fn current() -> Result<Arc<Self>, NodeError> {
        let generation = generation();
        let current = CURRENT.load_full();
        if let Some(runtime) = current.filter(|runtime| runtime.generation == generation) {
            return Ok(runtime);
        }
        let fresh = Arc::new(Self::start(generation).map_err(|error| {
            NodeError::config(format!(
                "the threads of mpreg cannot be started: {error}; check the process's limits"
            ))
        })?);
        CURRENT.store(Some(fresh.clone()));
        Ok(fresh)
    }

    /// True if this is the process that started it; false in a child made by `fork`.
    pub fn is_own(&self) -> bool {
        self.generation == generation()
    }

    /// Forgets the parent's runtime in a child made by `fork`, without running any of its destructors: its threads
    /// do not exist here and its locks may be held by them.
    pub fn forget_after_fork() {
        GENERATION.fetch_add(1, Ordering::AcqRel);
        std::mem::forget(CURRENT.swap(None));
    }

    /// Ends both threads and waits for them, at most a second. Nothing of mpreg works afterwards.
    pub fn shut_down() {
        let Some(runtime) = CURRENT.swap(None).filter(|runtime| runtime.is_own()) else { return };
        runtime.io.stop();
        runtime.control.stop();
        runtime.io.join();
        runtime.control.join();
    }

    fn start(generation: u32) -> std::io::Result<Self> {
        Ok(Self {
            generation,
            io: Thread::start("mpreg-io")?,
            control: Thread::start("mpreg-control")?,
            clock: *CLOCK,
            mailboxes: Mailboxes::default(),
            connections: Connections::default(),
        })
    }

    /// The lane of an open connection, if it has one and nobody holds it.
    pub fn open_lane(connection: ConnectionId) -> Option<Lane> {
        let runtime = CURRENT.load();
        let runtime = runtime.as_ref().filter(|runtime| runtime.is_own())?;
        Lane::open(runtime.connections.find(connection)?)
    }

    /// The I/O runtime.
    pub(crate) fn io_handle(&self) -> tokio::runtime::Handle {
        self.io.runtime.clone()
    }

    /// Runs `job` on the I/O thread.
    pub(crate) fn on_io(&self, job: impl FnOnce() + Send + 'static) {
        self.io.run(Box::new(job));
    }

    /// Has the mailbox of `port` ticked at `time`.
    pub(crate) fn tick_at(self: &Arc<Self>, time: Time, port: PortId) {
        let runtime = self.clone();
        let at = self.clock.instant(time);
        self.on_io(move || {
            tokio::task::spawn_local(async move {
                tokio::time::sleep_until(at).await;
                if let Some(mailbox) = runtime.mailboxes.find(port) {
                    mailbox.push(Item::Tick { port });
                }
            });
        });
    }

    /// Runs `job` on the control thread.
    pub(crate) fn on_control(&self, job: impl FnOnce() + Send + 'static) {
        self.control.run(Box::new(job));
    }
}

#[derive(Debug)]
struct Thread {
    runtime: tokio::runtime::Handle,
    jobs: UnboundedSender<Option<Job>>,
    handle: Mutex<Option<JoinHandle<()>>>,
    ended: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Thread {
    fn start(name: &str) -> std::io::Result<Self> {
        let (jobs, inbox) = unbounded_channel();
        let (end, ended) = std::sync::mpsc::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let own = runtime.handle().clone();
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, run_jobs(inbox));
            drop(local);
            drop(runtime);
            drop(end);
        })?;
        Ok(Self { runtime: own, jobs, handle: Mutex::new(Some(handle)), ended: Mutex::new(ended) })
    }

    /// A job for a thread that has ended is dropped: the process is ending with it.
    fn run(&self, job: Job) {
        let _ = self.jobs.send(Some(job));
    }

    fn stop(&self) {
        let _ = self.jobs.send(None);
    }

    fn join(&self) {
        // A job that hangs must not hang the exit of the process: the thread is left behind.
        let ended = matches!(
            self.ended.lock().recv_timeout(JOIN_MAX),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected)
        );
        if let Some(handle) = self.handle.lock().take().filter(|_| ended) {
            let _ = handle.join();
        }
    }
}

async fn run_jobs(mut inbox: UnboundedReceiver<Option<Job>>) {
    while let Some(Some(job)) = inbox.recv().await {
        job();
    }
}
