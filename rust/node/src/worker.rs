//! The control side of a worker process: no member of the mesh, but one connection to the parent, which is one.
//!
//! Calls arrive over it as at a node, for functions that only this process knows; its own calls and looks leave over it
//! as a client's do. When the parent is gone, the worker ends.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use mpreg_routing::{Index, LocalFunction, Offer as Routed, Own};
use mpreg_transport::{Address, CloseReason, Connection, LostCause, Network};
use mpreg_types::{FunctionName, FunctionVersion, Scope, Time};
use mpreg_wire::Role;
use mpreg_wire::handshake::Policy;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::caller::End;
use crate::client::nil;
use crate::client_shared::ClientShared;
use crate::command::{Command, answer_ends};
use crate::config::Part;
use crate::doorway::{Doorway, Introduction, Standing};
use crate::driver::intake::log_busy;
use crate::driver::workers::within_the_node;
use crate::driver::{CLEAN_UP_MAX, DRAIN_POLL, HANG_UP_MAX, accept, sleep_until};
use crate::entropy::random_bytes;
use crate::error::NodeError;
use crate::functions::LocalEntry;
use crate::mailbox::News;
use crate::node_shared::{NodeShared, Phase};
use crate::runtime::Runtime;
use crate::switch_io::SwitchIo;
use crate::worker_offer::{BUSY, Busy, LEAVE, OFFER, Offer, WITHDRAW, Withdrawal};

/// How long the parent may take to accept the connection, and to answer.
const PARENT_MAX: Duration = Duration::from_secs(5);

/// Runs a worker from its start to its end.
pub(crate) async fn run(
    shared: Arc<NodeShared>,
    runtime: Arc<Runtime>,
    network: Network,
    mut inbox: UnboundedReceiver<Command>,
    end: End,
) {
    match Worker::connect(shared.clone(), runtime, network).await {
        Ok(mut worker) => {
            worker.started = Some(end);
            worker.run(inbox).await;
        }
        Err(error) => {
            shared.set_phase(Phase::Stopped(format!("worker {} could not start: {error}", shared.label)));
            answer_ends(&mut inbox);
            end(Err(error));
        }
    }
}

/// How far an end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    /// Running calls may end until then; `told`: the parent sends no more.
    Draining {
        until: Time,
        told: bool,
    },
    /// No call is taken any more; those that were are answered.
    Parting {
        until: Time,
    },
    /// What still ran was cancelled, and cleans up.
    Cancelling {
        until: Time,
    },
}

/// What the parent was told, and whom its answer concerns.
enum Asked {
    /// One of the functions that were there at the start.
    Start,
    Register {
        handle: u64,
        done: Sender<Result<(), NodeError>>,
    },
    Remove {
        handle: u64,
        done: Sender<()>,
    },
    Leave,
    /// It changes nothing here.
    Nothing,
}

/// What the parent said to it.
type Answer = (Asked, Result<(), NodeError>);

struct Worker {
    shared: Arc<NodeShared>,
    runtime: Arc<Runtime>,
    parent: Arc<ClientShared>,
    /// `name/instance#number`, for logs.
    label: String,
    number: u32,
    switch: Arc<Mutex<SwitchIo>>,
    connection: Arc<Connection>,
    index: Index,
    answers: (UnboundedSender<Answer>, UnboundedReceiver<Answer>),
    /// The parent can be asked.
    opened: bool,
    /// Functions of the start that the parent has not answered for.
    unanswered: usize,
    stopping: Stopping,
    started: Option<End>,
    stop_ends: Vec<End>,
    ended: Vec<End>,
    /// What ends it, if not `stop`.
    fatal: Option<NodeError>,
}

impl Worker {
    async fn connect(
        shared: Arc<NodeShared>,
        runtime: Arc<Runtime>,
        network: Network,
    ) -> Result<Self, NodeError> {
        let config = &shared.config;
        let (Part::Worker { socket, number, address }, Some(parent)) = (&config.part, shared.parent.clone())
        else {
            return Err(NodeError::config("this process is no worker"));
        };
        let introduction = Introduction {
            signer: shared.signer.clone(),
            role: Role::Worker,
            cluster: Some(config.cluster.clone()),
            name: config.name.clone(),
            instance: None,
        };
        let settings = within_the_node(&config.settings);
        let doorway = Doorway::new(&settings, introduction, Policy::roles([Role::Node]), network, None)?;
        let standing = Standing { addresses: Vec::new(), incarnation: shared.incarnation() };
        let dialled = doorway.dial(&Address::Unix(socket.clone()), standing, PARENT_MAX, |_| None).await;
        let gone = |error: &dyn std::fmt::Display| {
            NodeError::connection_lost(format!("the parent process is not there: {error}"))
        };
        let established = dialled.map_err(|error| gone(&error))?;
        let seed = random_bytes::<8>().map_err(|error| NodeError::config(error.to_string()))?;
        let mut switch = SwitchIo::new(shared.clone(), runtime.clone(), u64::from_le_bytes(seed));
        // The snapshots of the own index count from the first again.
        switch.begin_anew();
        let switch = Arc::new(Mutex::new(switch));
        let connection =
            established.run(&runtime.io_handle(), switch.clone()).map_err(|error| gone(&error))?;
        accept::spawn_turns(&switch, &shared, &runtime);
        shared.address.lock().clone_from(address);
        let own = Own {
            node: shared.node,
            incarnation: shared.incarnation(),
            cluster: config.cluster.clone(),
            label: shared.label.as_str().into(),
        };
        Ok(Self {
            label: format!("{}/{}#{number}", config.name, shared.instance),
            number: *number,
            index: Index::new(own),
            answers: unbounded_channel(),
            opened: false,
            unanswered: 0,
            stopping: Stopping::No,
            started: None,
            stop_ends: Vec::new(),
            ended: Vec::new(),
            fatal: None,
            shared,
            runtime,
            parent,
            switch,
            connection,
        })
    }

    async fn run(mut self, mut inbox: UnboundedReceiver<Command>) {
        loop {
            let now = self.runtime.clock.now();
            let wake = (self.stopping != Stopping::No).then(|| now + DRAIN_POLL);
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                answer = self.answers.1.recv() => if let Some((asked, answer)) = answer {
                    self.answered(asked, answer);
                },
                () = sleep_until(&self.runtime, wake) => {}
            }
            if self.is_over(self.runtime.clock.now()) {
                break;
            }
        }
        self.finish(&mut inbox).await;
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Opened(_) => self.offer_all(),
            Command::Closed(_, cause) => self.parent_gone(&cause),
            Command::Register { handle, done } => match self.shared.functions.find(handle) {
                // It goes with those of the start.
                _ if !self.opened => drop(done.send(Ok(()))),
                Some(entry) => self.offer(handle, &entry, Asked::Register { handle, done }),
                None => drop(done.send(Ok(()))),
            },
            Command::Remove { handle, done } => match self.shared.functions.find(handle) {
                Some(entry) => {
                    let (name, version) = (entry.spec.name.clone(), entry.spec.version.clone());
                    self.ask(WITHDRAW, &Withdrawal { name, version }, Asked::Remove { handle, done });
                }
                None => drop(done.send(())),
            },
            Command::Look { verb, body, timeout, end } => self.parent.look(&verb, &body, timeout, end),
            Command::Busy(stack) => {
                log_busy(&self.label, stack.as_ref());
                self.ask(BUSY, &Busy { number: self.number, stack }, Asked::Nothing);
            }
            Command::Stop(_, end) => {
                self.stop_ends.push(end);
                self.begin_stop();
            }
            Command::Ended(end) => self.ended.push(end),
            Command::Kill => self.stopping = Stopping::Cancelling { until: Time::ZERO },
            Command::Fingerprint(tell) => drop(tell.send(String::new())),
            // Nobody but the parent is connected, and it tells a worker no such thing.
            Command::Frame(..)
            | Command::ClientLook { .. }
            | Command::Stats(_)
            | Command::Wanted(_)
            | Command::Outstarted { .. } => {}
        }
    }

    /// Tells the parent something; its answer comes back through `answers`.
    fn ask<T: serde::Serialize>(&self, verb: &str, body: &T, asked: Asked) {
        let tell = self.answers.0.clone();
        let end = Box::new(move |answer: Result<_, _>| {
            // Nobody listens any more when the worker has ended.
            let _ = tell.send((asked, answer.map(drop)));
        });
        self.parent.look(verb, &mpreg_wire::message::encode(body), PARENT_MAX, end);
    }

    /// The connection stands: the parent hears of everything that was registered before.
    fn offer_all(&mut self) {
        self.parent.open();
        self.opened = true;
        let all = self.shared.functions.all();
        self.unanswered = all.len();
        for (handle, entry) in all {
            self.offer(handle, &entry, Asked::Start);
        }
        if self.unanswered == 0 {
            self.begun();
        }
    }

    fn offer(&mut self, handle: u64, entry: &Arc<LocalEntry>, asked: Asked) {
        let spec = &entry.spec;
        let offer = Routed {
            id: spec.id.clone(),
            version: spec.version.clone(),
            resources: spec.resources.clone(),
            // Who may call it is the parent's to check.
            scope: Scope::Cluster,
            idempotent: spec.idempotent,
            streaming: spec.streaming,
            timeout: spec.timeout,
            ..Routed::new(spec.name.clone(), spec.contract)
        };
        let local = LocalFunction { handle, slots: entry.slots.clone() };
        // Before the parent hears of it: a call may come at once.
        self.index.put_function(self.shared.node, self.shared.incarnation(), &offer, Some(local));
        self.publish();
        self.ask(OFFER, &Offer { number: self.number, spec: spec.clone() }, asked);
    }

    fn withdraw(&mut self, handle: u64) {
        let Some(entry) = self.shared.functions.find(handle) else { return };
        let (name, version): (&FunctionName, &FunctionVersion) = (&entry.spec.name, &entry.spec.version);
        self.index.remove_function(self.shared.node, self.shared.incarnation(), name, version);
        self.publish();
        self.shared.functions.remove(handle);
    }

    fn publish(&mut self) {
        self.shared.snapshot.store(self.index.publish());
        self.shared.inbound.attention.notify_one();
    }

    fn answered(&mut self, asked: Asked, answer: Result<(), NodeError>) {
        match (asked, answer) {
            (Asked::Start, Ok(())) => {
                self.unanswered = self.unanswered.saturating_sub(1);
                if self.unanswered == 0 {
                    self.begun();
                }
            }
            (Asked::Start, Err(error)) => {
                self.fatal.get_or_insert(error);
                self.begin_stop();
            }
            (Asked::Register { handle, done }, answer) => {
                if answer.is_err() {
                    self.withdraw(handle);
                }
                let _ = done.send(answer);
            }
            (Asked::Nothing, _) => {}
            // A parent that is gone sends no calls either.
            (Asked::Remove { handle, done }, _) => {
                self.withdraw(handle);
                let _ = done.send(());
            }
            (Asked::Leave, _) => {
                if let Stopping::Draining { told, .. } = &mut self.stopping {
                    *told = true;
                }
            }
        }
    }

    fn begun(&mut self) {
        if let Some(end) = self.started.take() {
            self.shared.set_phase(Phase::Running);
            tracing::info!(node = %self.label, "started");
            end(Ok(nil()));
        }
    }

    fn begin_stop(&mut self) {
        if self.stopping == Stopping::No {
            let until = self.runtime.clock.now() + self.shared.config.settings.drain_timeout;
            self.stopping = Stopping::Draining { until, told: false };
            self.ask(LEAVE, &(), Asked::Leave);
        }
    }

    /// Nobody waits for what still runs: the functions were cancelled when the connection went.
    fn parent_gone(&mut self, cause: &LostCause) {
        let orderly = matches!(cause, LostCause::Goodbye(_) | LostCause::Closed(_));
        if !orderly && self.stopping == Stopping::No {
            tracing::warn!(node = %self.label, %cause, "its parent process is gone: the worker ends");
            self.fatal
                .get_or_insert(NodeError::connection_lost(format!("the parent process is gone: {cause}")));
        }
        self.parent.end(self.gone());
        self.parent.fail_looks("the parent process is gone");
        self.runtime.mailboxes.tell_all(&News::RouteChanged);
        self.stopping = Stopping::Cancelling { until: self.runtime.clock.now() + CLEAN_UP_MAX };
    }

    /// Moves an end along; true when nothing is left to wait for.
    fn is_over(&mut self, now: Time) -> bool {
        let is_idle = self.shared.workload.load().in_flight == 0 && self.switch.lock().is_idle();
        match self.stopping {
            Stopping::No => return false,
            Stopping::Draining { told: true, until } if is_idle => {
                self.take_no_more();
                self.stopping = Stopping::Parting { until };
                return self.is_over(now);
            }
            Stopping::Parting { until } if is_idle || now >= until => return true,
            Stopping::Draining { until, .. } if now >= until => {
                self.take_no_more();
                self.switch.lock().end_drain();
                self.stopping = Stopping::Cancelling { until: now + CLEAN_UP_MAX };
            }
            Stopping::Cancelling { until } if is_idle || now >= until => return true,
            Stopping::Draining { .. } | Stopping::Parting { .. } | Stopping::Cancelling { .. } => {}
        }
        // Without frames the switch does not look for calls that have ended.
        self.shared.inbound.attention.notify_one();
        false
    }

    fn take_no_more(&self) {
        let connections = self.switch.lock().take_no_more();
        for connection in connections {
            connection.take_no_more(CloseReason::Leaving);
        }
    }

    fn gone(&self) -> String {
        match &self.fatal {
            Some(error) => error.to_string(),
            None => format!("worker {} has stopped", self.label),
        }
    }

    async fn finish(mut self, inbox: &mut UnboundedReceiver<Command>) {
        let why = self.gone();
        self.shared.set_phase(Phase::Stopped(why.clone()));
        self.parent.end(why.clone());
        self.runtime.mailboxes.tell_all(&News::RouteChanged);
        self.connection.close(CloseReason::Leaving);
        let until = tokio::time::Instant::now() + HANG_UP_MAX;
        while !self.switch.lock().connections().is_empty() {
            match tokio::time::timeout_at(until, inbox.recv()).await {
                Ok(Some(command)) => self.command(command),
                Ok(None) | Err(_) => break,
            }
        }
        self.shared.set_fatal(self.fatal.clone());
        inbox.close();
        while let Ok(command) = inbox.try_recv() {
            self.command(command);
        }
        tracing::info!(node = %self.label, because = self.fatal.as_ref().map(tracing::field::display), "stopped");
        let fatal = self.fatal.take();
        if let Some(end) = self.started.take() {
            end(Err(fatal.clone().unwrap_or_else(|| NodeError::connection_lost(why))));
        }
        for end in self.stop_ends.drain(..) {
            end(Ok(nil()));
        }
        for end in self.ended.drain(..) {
            end(fatal.clone().map_or_else(|| Ok(nil()), Err));
        }
    }
}
