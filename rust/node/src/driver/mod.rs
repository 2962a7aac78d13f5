//! The control side of a node: owns the `Engine`, feeds it what happens and runs what it puts out.
//!
//! One task per node on the control thread. It takes commands in batches, so a burst of frames is one turn of the
//! engine's outputs; dials and handshakes are tasks of their own and report back.

pub(crate) mod accept;
mod alarm;
mod anew;
mod dial;
pub(crate) mod intake;
mod look_replies;
mod looks;
mod outputs;
mod peers;
mod refusals;
mod stats;
mod stuck_workers;
mod timers;
pub(crate) mod workers;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mpreg_engine::{Addresses, Engine, Event, Input, Output, Timer};
use mpreg_transport::{Address, Network};
use mpreg_types::{ConnectionId, LeaveReason, Load, Time};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinHandle};

use crate::caller::End;
use crate::certificates::Certificates;
use crate::client::nil;
use crate::command::{Command, answer_ends};
use crate::doorway::{Doorway, Introduction};
use crate::entropy::random_bytes;
use crate::error::NodeError;
use crate::node_shared::{NodeShared, Phase};
use crate::runtime::Runtime;
use crate::switch_io::SwitchIo;
use alarm::Alarm;
use dial::Dialled;
use looks::Looks;
use peers::Peers;
use refusals::Refusals;
use timers::Timers;
use workers::Workers;

/// Commands handled before the engine's outputs are run.
const BATCH_MAX: usize = 256;

/// What a node starts with.
pub(crate) struct Start {
    pub(crate) shared: Arc<NodeShared>,
    pub(crate) listen: Address,
    pub(crate) seeds: Vec<Address>,
    pub(crate) network: Network,
    pub(crate) runtime: Arc<Runtime>,
}

/// Runs a node from its start to its end.
pub(crate) async fn run(start: Start, mut inbox: UnboundedReceiver<Command>, end: End) {
    let shared = start.shared.clone();
    match Driver::open(start, end).await {
        Ok(driver) => Box::pin(driver.run(inbox)).await,
        Err((error, end)) => {
            shared.set_phase(Phase::Stopped(format!("node {} could not start: {error}", shared.label)));
            // Before anybody hears of the failure.
            answer_ends(&mut inbox);
            end(Err(error));
        }
    }
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    /// Running calls may end until then.
    Draining {
        until: Time,
        reason: LeaveReason,
    },
    /// The drain was too short for some calls: they were cancelled, and their functions clean up.
    Cancelling {
        until: Time,
        reason: LeaveReason,
    },
    /// No call is taken any more; those that were are answered, then it leaves.
    Parting {
        until: Time,
        reason: LeaveReason,
    },
    /// The leave is out; connections close.
    Left,
}

/// See the module.
struct Driver {
    shared: Arc<NodeShared>,
    runtime: Arc<Runtime>,
    doorway: Rc<Doorway>,
    /// Handshakes, tasks of their own, ask it whom it knows.
    engine: Rc<RefCell<Engine>>,
    switch: Arc<Mutex<SwitchIo>>,
    peers: Peers,
    timers: Timers<Timer>,
    alarm: Alarm,
    outputs: Vec<Output>,
    dialled: (UnboundedSender<Dialled>, UnboundedReceiver<Dialled>),
    tasks: Vec<AbortHandle>,
    acceptors: Vec<JoinHandle<()>>,
    refusals: Rc<Refusals>,
    looks: Looks,
    workers: Workers,
    addresses: Vec<String>,
    /// The own certificate and CAs, if there are any.
    certificates: Option<Certificates>,
    seeds: Vec<Addresses>,
    /// The connection made last.
    newest: Rc<Cell<ConnectionId>>,
    /// Connections up to this one are of a former start of this node.
    outdated: ConnectionId,
    /// A member has taken this start for one of the cluster.
    met: bool,
    /// Members speak of a later start of this node.
    superseded: bool,
    /// How busy the engine holds this node for.
    told_load: Load,
    /// How often it began anew.
    anew: u32,
    /// Told when the node has joined or is alone.
    started: Option<End>,
    /// Told when the next snapshot is out.
    published: Vec<std::sync::mpsc::Sender<Result<(), NodeError>>>,
    stopping: Stopping,
    stop_ends: Vec<End>,
    ended: Vec<End>,
    /// What ends it, if not `stop`.
    fatal: Option<NodeError>,
}

impl Driver {
    async fn open(start: Start, end: End) -> Result<Self, (NodeError, End)> {
        match Self::prepare(start).await {
            // Without seeds it is alone, and so started, before there was anybody to tell.
            Ok(driver) if driver.shared.phase() == Phase::Running => {
                end(Ok(nil()));
                Ok(driver)
            }
            Ok(mut driver) => {
                driver.started = Some(end);
                Ok(driver)
            }
            Err(error) => Err((error, end)),
        }
    }

    async fn prepare(start: Start) -> Result<Self, NodeError> {
        let Start { shared, listen, seeds, network, runtime } = start;
        let introduction = Introduction {
            signer: shared.signer.clone(),
            role: mpreg_wire::Role::Node,
            cluster: Some(shared.config.cluster.clone()),
            name: shared.config.name.clone(),
            instance: shared.config.instance.clone(),
        };
        let label = shared.fault_label();
        let policy = accept::policy(&shared);
        let doorway =
            Doorway::new(&shared.config.settings, introduction, policy, network, Some(label.clone()))
                .map(Rc::new)?;
        doorway.security.check("listen on", &listen)?;
        for seed in &seeds {
            doorway.security.check("dial", seed)?;
        }
        let listener = doorway.network.listen(&listen, Some(&label)).await;
        let listener = listener.map_err(|error| NodeError::config(error.to_string()))?;
        let advertised = shared.config.settings.advertise.clone();
        let addresses = vec![advertised.unwrap_or_else(|| listener.address().to_string())];
        *shared.address.lock() = listener.address().to_string();
        shared.keep_incarnation()?;
        let config = &shared.config;
        let certificates =
            Certificates::load(&config.settings, &config.cluster, &config.name, shared.signer.key())?;
        let engine = outputs::fresh_engine(&shared, &addresses, certificates.as_ref())?;
        let seeds = seeds.iter().map(|seed| Addresses::new(vec![seed.to_string()]));
        let seeds = seeds.collect::<Result<_, _>>().map_err(|error| NodeError::config(error.to_string()))?;
        let switch_seed = random_bytes::<8>().map_err(|error| NodeError::config(error.to_string()))?;
        let alarm = Alarm::new(runtime.clock).map_err(|error| NodeError::config(error.to_string()))?;
        let switch = SwitchIo::new(shared.clone(), runtime.clone(), u64::from_le_bytes(switch_seed));
        let mut driver = Self {
            switch: Arc::new(Mutex::new(switch)),
            peers: Peers::default(),
            timers: Timers::new(),
            alarm,
            outputs: Vec::new(),
            dialled: unbounded_channel(),
            tasks: Vec::new(),
            acceptors: Vec::new(),
            workers: Workers::default(),
            refusals: Rc::default(),
            looks: Looks::default(),
            started: None,
            published: Vec::new(),
            stopping: Stopping::No,
            stop_ends: Vec::new(),
            ended: Vec::new(),
            fatal: None,
            shared,
            runtime,
            doorway,
            engine: Rc::new(RefCell::new(engine)),
            addresses,
            certificates,
            seeds,
            newest: Rc::new(Cell::new(ConnectionId(0))),
            outdated: ConnectionId(0),
            met: false,
            superseded: false,
            told_load: Load::default(),
            anew: 0,
        };
        accept::spawn_turns(&driver.switch, &driver.shared, &driver.runtime);
        driver.take_connections(listener).await?;
        driver.announce()?;
        Ok(driver)
    }

    /// The first words of a start.
    fn announce(&mut self) -> Result<(), NodeError> {
        self.switch.lock().set_starting(self.shared.is_starting());
        for (handle, entry) in self.shared.functions.all() {
            self.offer(handle, &entry)?;
        }
        self.feed(Input::Start { seeds: self.seeds.clone() })?;
        self.run_outputs();
        Ok(())
    }

    async fn run(mut self, mut inbox: UnboundedReceiver<Command>) {
        loop {
            let wake = self.next_wake();
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => {
                        self.command(command);
                        for _ in 1..BATCH_MAX {
                            let Ok(command) = inbox.try_recv() else { break };
                            self.command(command);
                        }
                    }
                    None => break,
                },
                dialled = self.dialled.1.recv() => if let Some(dialled) = dialled {
                    self.dial_ended(dialled);
                },
                () = self.alarm.until(wake) => {}
            }
            let now = self.runtime.clock.now();
            while let Some(timer) = self.timers.pop(now) {
                self.hear(Input::Timer(timer));
            }
            self.run_outputs();
            self.try_looks(now);
            if self.check_stop(now) {
                break;
            }
        }
        self.finish(&mut inbox).await;
    }

    fn next_wake(&self) -> Option<Time> {
        let stop = match self.stopping {
            Stopping::Draining { .. } | Stopping::Parting { .. } | Stopping::Cancelling { .. } => {
                Some(self.runtime.clock.now() + DRAIN_POLL)
            }
            Stopping::No | Stopping::Left => None,
        };
        [self.timers.next(), stop, self.looks.next()].into_iter().flatten().min()
    }

    /// Joined, or alone: `start` returns.
    fn joined(&mut self, alone: bool) {
        if alone && !self.shared.config.seeds.is_empty() {
            tracing::warn!(node = %self.shared.label, "no seed answers, or none takes this node in: it is alone and goes on dialling");
        }
        self.shared.set_phase(Phase::Running);
        self.switch.lock().set_starting(false);
        self.runtime.mailboxes.tell_all(&crate::mailbox::News::RouteChanged);
        self.shared.inbound.attention.notify_one();
        tracing::info!(node = %self.shared.label, address = %self.addresses.join(","), alone, "started");
        if let Some(end) = self.started.take() {
            end(Ok(nil()));
        }
    }

    /// Moves a stop along; true when the node is gone.
    fn check_stop(&mut self, now: Time) -> bool {
        if self.fatal.is_some() && self.stopping == Stopping::No {
            self.begin_stop(LeaveReason::GracefulShutdown);
        }
        if let Stopping::Draining { until, reason } = self.stopping
            && self.runs_nothing()
        {
            self.take_no_more();
            self.stopping = Stopping::Parting { until, reason };
        }
        match self.stopping {
            Stopping::Parting { reason, .. } | Stopping::Cancelling { reason, .. } if self.is_idle() => {
                self.leave(reason);
            }
            Stopping::Draining { until, reason } if now >= until => {
                self.take_no_more();
                self.cancel_rest();
                self.stopping = Stopping::Cancelling { until: now + CLEAN_UP_MAX, reason };
            }
            Stopping::Parting { until, reason } | Stopping::Cancelling { until, reason } if now >= until => {
                self.leave(reason);
            }
            // Without frames the switch does not look for calls that have ended.
            Stopping::Draining { .. } | Stopping::Parting { .. } | Stopping::Cancelling { .. } => {
                self.shared.inbound.attention.notify_one();
            }
            Stopping::No | Stopping::Left => {}
        }
        self.stopping == Stopping::Left
    }

    /// No function of this node runs, for others or for itself, and no call is held for others.
    fn is_idle(&self) -> bool {
        self.shared.workload.load().in_flight == 0 && self.switch.lock().is_idle()
    }

    /// The same, but for calls of clients that other nodes run.
    fn runs_nothing(&self) -> bool {
        self.shared.workload.load().in_flight == 0 && self.switch.lock().only_relays()
    }

    /// Calls that are on their way here are not taken, and their callers hear of it: they go elsewhere.
    fn take_no_more(&self) {
        let connections = self.switch.lock().take_no_more();
        for connection in connections {
            connection.take_no_more(mpreg_transport::CloseReason::Leaving);
        }
        // Who looks for an entry node finds another one.
        for acceptor in &self.acceptors {
            acceptor.abort();
        }
    }

    /// The drain is over: functions that still run are cancelled, and nothing is called through this node any more.
    fn cancel_rest(&self) {
        self.shared.set_phase(Phase::Stopped(self.gone()));
        self.switch.lock().end_drain();
        self.runtime.mailboxes.tell_all(&crate::mailbox::News::RouteChanged);
    }

    fn leave(&mut self, reason: LeaveReason) {
        self.stopping = Stopping::Left;
        self.hear(Input::Leave { reason });
        self.run_outputs();
    }

    /// What calls through this node are told from now on.
    fn gone(&self) -> String {
        match &self.fatal {
            Some(error) => error.to_string(),
            None => {
                format!("node {} has stopped; start it again, or call through another", self.shared.label)
            }
        }
    }

    fn begin_stop(&mut self, reason: LeaveReason) {
        if self.stopping != Stopping::No {
            return;
        }
        let now = self.runtime.clock.now();
        self.stopping = Stopping::Draining { until: now + self.shared.config.settings.drain_timeout, reason };
        self.switch.lock().drain();
        self.hear(Input::Drain);
    }

    /// The end: everything of the node goes, and whoever waits for that is told.
    async fn finish(mut self, inbox: &mut UnboundedReceiver<Command>) {
        let why = self.gone();
        self.shared.set_phase(Phase::Stopped(why.clone()));
        // Before the connections end: the own calls under way hear that the node has stopped.
        self.runtime.mailboxes.tell_all(&crate::mailbox::News::RouteChanged);
        for connection in self.switch.lock().connections() {
            connection.close(mpreg_transport::CloseReason::Leaving);
        }
        for task in self.tasks.drain(..) {
            task.abort();
        }
        for acceptor in self.acceptors.drain(..) {
            // Until it has dropped its listener the address is not free for a next start.
            acceptor.abort();
            let _ = acceptor.await;
        }
        self.hung_up(inbox).await;
        self.shared.set_fatal(self.fatal.clone());
        inbox.close();
        while let Ok(command) = inbox.try_recv() {
            self.command(command);
        }
        self.looks.fail_all(&why);
        let because = self.fatal.as_ref().map(tracing::field::display);
        tracing::info!(node = %self.shared.label, because, "stopped");
        let fatal = self.fatal.take();
        if let Some(end) = self.started.take() {
            end(Err(fatal.clone().unwrap_or_else(|| NodeError::connection_lost(why.clone()))));
        }
        for end in self.stop_ends.drain(..) {
            end(Ok(nil()));
        }
        for end in self.ended.drain(..) {
            end(fatal.clone().map_or_else(|| Ok(nil()), Err));
        }
    }

    /// Until every other side has been told what was taken: the process may end behind this.
    async fn hung_up(&mut self, inbox: &mut UnboundedReceiver<Command>) {
        let until = tokio::time::Instant::now() + HANG_UP_MAX;
        while !self.switch.lock().connections().is_empty() {
            match tokio::time::timeout_at(until, inbox.recv()).await {
                Ok(Some(command)) => self.command(command),
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// Something the engine wants known outside.
    fn event(&mut self, event: Event) {
        outputs::log(&self.shared.label, self.shared.node, &event);
        match event {
            Event::Joined { alone } => self.joined(alone),
            Event::Superseded { .. } => self.superseded = true,
            Event::Change(_) => self.looks.note_news(),
            Event::InstanceHeld { id, address, .. } => {
                let at = address.map_or_else(String::new, |address| format!(" at {address}"));
                let why =
                    format!("{id} is alive{at}: give this node another instance, or stop that one first");
                self.fatal = Some(NodeError::config(why));
            }
            _ => {}
        }
    }
}

/// How often a drain looks whether the running calls have ended.
pub(crate) const DRAIN_POLL: Duration = Duration::from_millis(5);
/// How long the ends of connections are waited for.
pub(crate) const HANG_UP_MAX: Duration = Duration::from_secs(1);
/// How long functions that were cancelled at the end of a drain may clean up.
pub(crate) const CLEAN_UP_MAX: Duration = Duration::from_secs(1);

pub(crate) async fn sleep_until(runtime: &Runtime, wake: Option<Time>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(runtime.clock.instant(wake)).await,
        None => std::future::pending().await,
    }
}
