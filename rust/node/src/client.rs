//! A client: no member of the mesh, but connected to one node of it, its entry node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mpreg_transport::{Address, CloseReason, Network};
use mpreg_wire::Role;
use mpreg_wire::handshake::Policy;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::caller::{Caller, End};
use crate::client_io::ClientIo;
use crate::client_shared::ClientShared;
use crate::config::ClientConfig;
use crate::doorway::{Doorway, Introduction, Standing};
use crate::error::NodeError;
use crate::mailbox::News;
use crate::runtime::Runtime;

/// How long opening tries all addresses.
const OPEN_MAX: Duration = Duration::from_secs(5);
/// First pause between two rounds of dials; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two rounds of dials.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long one address is tried.
const DIAL_MAX: Duration = Duration::from_secs(2);

/// Connections to a mesh, for callers that are no part of it.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<ClientShared>,
    addresses: Vec<Address>,
    network: Network,
    closing: Arc<Notify>,
}

impl Client {
    /// Parses the addresses; nothing is dialled yet.
    pub fn new(config: ClientConfig) -> Result<Self, NodeError> {
        Self::within(config, Network::new())
    }

    /// The same within a network of the test kit.
    pub fn within(config: ClientConfig, network: Network) -> Result<Self, NodeError> {
        let parse =
            |text: &String| Address::parse(text).map_err(|error| NodeError::config(error.to_string()));
        let addresses = config.addresses.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return Err(NodeError::config(
                "a client needs the address of a node: connect(\"host:port\") or MPREG_SEEDS",
            ));
        }
        Ok(Self { shared: ClientShared::new(config)?, addresses, network, closing: Arc::default() })
    }

    /// What calls go through.
    pub fn caller(&self) -> Caller {
        Caller::Client(self.shared.clone())
    }

    /// The node it is connected to, as users see it.
    pub fn entry_label(&self) -> Option<String> {
        self.shared.entry_label()
    }

    /// Connects to the first address that answers; tries for five seconds.
    pub fn open(&self, end: End) {
        let runtime = match Runtime::current() {
            Ok(runtime) => runtime,
            Err(error) => return end(Err(error)),
        };
        let keeper = Keeper { client: self.clone(), runtime: runtime.clone(), next: 0 };
        runtime.on_control(move || {
            tokio::task::spawn_local(keeper.run(end));
        });
    }

    /// Closes the connection in order. Calls under way fail.
    pub fn close(&self, end: End) {
        self.shared.end("the client is closed".to_owned());
        self.closing.notify_one();
        if let Ok(runtime) = Runtime::current() {
            // In this order: the calls under way hear that the client is closed, not that a connection broke.
            runtime.mailboxes.tell_all(&News::RouteChanged);
            self.hang_up(&runtime);
        }
        end(Ok(nil()));
    }

    fn hang_up(&self, runtime: &Runtime) {
        for connection in self.shared.connections() {
            if let Some(connection) = runtime.connections.find(connection) {
                connection.close(CloseReason::Leaving);
            }
        }
    }
}

/// Encoded `None`.
pub fn nil() -> Bytes {
    Bytes::from_static(&[0xc0])
}

/// Keeps a client connected until it is closed.
struct Keeper {
    client: Client,
    runtime: Arc<Runtime>,
    /// Address to try next.
    next: usize,
}

impl Keeper {
    async fn run(mut self, end: End) {
        let shared = self.client.shared.clone();
        let doorway = match self.doorway() {
            Ok(doorway) => doorway,
            Err(error) => return end(Err(error)),
        };
        let ended = Arc::new(Notify::new());
        match self.connect_first(&doorway, &ended).await {
            Ok(()) if shared.open() => end(Ok(nil())),
            Ok(()) => {
                self.client.hang_up(&self.runtime);
                let why = "the client was closed before it was open";
                return end(Err(NodeError::connection_lost(why.to_owned())));
            }
            Err(error) => {
                shared.end(error.to_string());
                return end(Err(error));
            }
        }
        loop {
            tokio::select! {
                () = ended.notified() => {}
                () = self.client.closing.notified() => {}
            }
            if shared.closed_reason().is_some() || !self.reconnect(&doorway, &ended).await {
                // It may have found another entry node at the moment when it was closed.
                return self.client.hang_up(&self.runtime);
            }
        }
    }

    fn doorway(&self) -> Result<Doorway, NodeError> {
        let shared = &self.client.shared;
        let introduction = Introduction {
            signer: shared.signer.clone(),
            role: Role::Client,
            cluster: shared.config.cluster.clone(),
            name: shared.config.name.clone(),
            instance: None,
        };
        let policy = Policy::roles([Role::Node]);
        Doorway::new(&shared.config.settings, introduction, policy, self.client.network.clone(), None)
    }

    /// Rounds over all addresses for [`OPEN_MAX`]; the error names what each said last.
    async fn connect_first(&mut self, doorway: &Doorway, ended: &Arc<Notify>) -> Result<(), NodeError> {
        let give_up = Instant::now() + OPEN_MAX;
        let mut pause = PAUSE_MIN;
        loop {
            let mut tries = Vec::new();
            for _ in 0..self.client.addresses.len() {
                let left = give_up.saturating_duration_since(Instant::now());
                match self.connect_next(doorway, ended, left.min(DIAL_MAX)).await {
                    Ok(()) => return Ok(()),
                    Err(error) => tries.push(error),
                }
            }
            if Instant::now() + pause >= give_up {
                return Err(NodeError::connection_lost(format!("no node answers: {}", tries.join("; "))));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Dials until somebody answers; false if the client was closed meanwhile.
    async fn reconnect(&mut self, doorway: &Doorway, ended: &Arc<Notify>) -> bool {
        let mut pause = PAUSE_MIN;
        loop {
            for _ in 0..self.client.addresses.len() {
                if self.client.shared.closed_reason().is_some() {
                    return false;
                }
                if self.connect_next(doorway, ended, DIAL_MAX).await.is_ok() {
                    return true;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.client.closing.notified() => return false,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn connect_next(
        &mut self,
        doorway: &Doorway,
        ended: &Arc<Notify>,
        within: Duration,
    ) -> Result<(), String> {
        let address = self.client.addresses[self.next % self.client.addresses.len()].clone();
        self.next += 1;
        let incarnation = self.client.shared.me.incarnation;
        let standing = Standing { addresses: Vec::new(), incarnation };
        let established = doorway.dial(&address, standing, within, |_| None).await.map_err(|error| {
            let text = error.to_string();
            // Dial errors name the address themselves.
            if text.contains(&address.to_string()) { text } else { format!("{address}: {text}") }
        })?;
        let shared = self.client.shared.clone();
        let (tell, opened) = oneshot::channel();
        let handler = ClientIo::new(shared, self.runtime.clone(), tell, ended.clone());
        let handler = Arc::new(Mutex::new(handler));
        established.run(&self.runtime.io_handle(), handler).map_err(|error| format!("{address}: {error}"))?;
        // Whoever opened the client may ask at once who its entry node is: that is known when the I/O thread has it.
        opened.await.map_err(|_| format!("{address}: the I/O thread has ended"))
    }
}

/// Sends a question to the entry node, as soon as there is one.
pub(crate) fn send_look(shared: Arc<ClientShared>, token: u64, question: Vec<u8>, timeout: Duration) {
    let Ok(runtime) = Runtime::current() else { return };
    let own = runtime.clone();
    runtime.on_control(move || {
        tokio::task::spawn_local(async move {
            let give_up = Instant::now() + timeout;
            while !send_over_entry(&shared, &own, token, &question) && Instant::now() < give_up {
                tokio::time::sleep(LOOK_POLL).await;
            }
            // The entry node knows better why nothing came; its word may still be on the way.
            tokio::time::sleep_until(give_up + LOOK_GRACE).await;
            // No news if it was answered.
            let why = NodeError::new(
                mpreg_types::ErrorCode::DeadlineExceeded,
                "the entry node did not answer in time",
            );
            shared.answer_look(token, Err(why));
        });
    });
}

fn send_over_entry(shared: &ClientShared, runtime: &Runtime, token: u64, question: &[u8]) -> bool {
    let Some(connection) = shared.entry().and_then(|entry| runtime.connections.find(entry)) else {
        return false;
    };
    let sent = connection.send_look(token, question).is_ok();
    connection.flush();
    sent
}

/// How much longer than its timeout a question waits for the entry node's own answer.
const LOOK_GRACE: Duration = Duration::from_millis(100);

/// How often a question without an entry node looks for one.
const LOOK_POLL: Duration = Duration::from_millis(10);
