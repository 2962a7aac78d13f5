use std::sync::Arc;
use std::thread::JoinHandle;

use mpreg_transport::{
    Address, Connection, Counters, Established, HandshakeFailure, Handshakes, Link, Listener, Network, Tls,
};
use mpreg_types::{ClusterId, Incarnation, NodeName};
use mpreg_wire::handshake::{LocalHello, Policy, Side};
use mpreg_wire::verify::{Ed25519, Ed25519Signer};
use mpreg_wire::{Limits, Role};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::certificates::Authority;
use super::recorder::{Behaviour, Events, Recorder};
use super::{SOON, Scratch, soon};

/// A runtime on a thread of its own, as `mpreg-io` is.
#[derive(Debug)]
pub(crate) struct IoThread {
    pub(crate) handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl IoThread {
    pub(crate) fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            // An error is the drop of the sender, which also means stop.
            let _ = runtime.block_on(stopped);
        });
        Self { handle, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().map(JoinHandle::join);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Tcp,
    Unix,
    Tls,
    Memory,
}

/// One end: who it is, and how it shakes hands.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) limits: Limits,
    pub(crate) handshakes: Handshakes,
    pub(crate) policy: Policy,
    pub(crate) cluster: &'static str,
    key: u8,
}

pub(crate) const CLUSTER: &str = "eu";

impl End {
    pub(crate) fn new(name: &'static str, key: u8, role: Role, limits: Limits, tls: Option<Tls>) -> Self {
        let handshakes = Handshakes::new(limits.clone(), tls, Arc::new(Ed25519), Arc::<Counters>::default());
        Self { name, role, limits, handshakes, policy: Policy::roles(Role::ALL), cluster: CLUSTER, key }
    }

    pub(crate) fn node(name: &'static str, key: u8) -> Self {
        Self::new(name, key, Role::Node, Limits::default(), None)
    }

    pub(crate) fn hello(&self) -> LocalHello {
        let signer = Arc::new(Ed25519Signer::new([self.key; 32]));
        let name = NodeName::parse(self.name).unwrap();
        LocalHello {
            cluster: Some(ClusterId::parse(self.cluster).unwrap()),
            limits: self.limits.for_peer(),
            ..LocalHello::new(signer, Incarnation(1), self.role, name, [self.key; 32])
        }
    }

    pub(crate) async fn shake(&self, link: Link, side: Side) -> Result<Established, HandshakeFailure> {
        self.handshakes.shake(link, side, self.hello(), self.policy.clone(), |_| None).await
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.handshakes.counters()
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        let read = self.counters().read();
        read.iter().find(|(counter, _)| *counter == name).expect("a counter of that name").1
    }
}

/// An established connection as one end has it.
#[derive(Debug)]
pub(crate) struct Half {
    pub(crate) end: End,
    pub(crate) connection: Arc<Connection>,
    pub(crate) events: Events,
}

/// Both ends of a connection, each with its own io thread.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) dialer: Half,
    pub(crate) acceptor: Half,
    pub(crate) dialer_io: IoThread,
    pub(crate) acceptor_io: IoThread,
    _scratch: Scratch,
}

/// How a [`Pair`] is to be.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) over: Over,
    pub(crate) limits: Limits,
    pub(crate) dialer: Behaviour,
    pub(crate) acceptor: Behaviour,
    pub(crate) network: Network,
    pub(crate) dialer_role: Role,
}

impl Setup {
    pub(crate) fn over(over: Over) -> Self {
        Self {
            over,
            limits: Limits::default(),
            dialer: Behaviour::default(),
            acceptor: Behaviour::default(),
            network: Network::new(),
            dialer_role: Role::Node,
        }
    }

    pub(crate) fn echoing(over: Over) -> Self {
        Self { acceptor: Behaviour { echoes: true, ..Behaviour::default() }, ..Self::over(over) }
    }

    pub(crate) async fn connect(self) -> Pair {
        let scratch = Scratch::new();
        let authority = (self.over == Over::Tls).then(Authority::new);
        let end = |name: &'static str, key, role| {
            let san = format!("spiffe://{CLUSTER}/node/{name}");
            let tls = authority.as_ref().map(|authority| authority.tls(CLUSTER, &san).unwrap());
            End::new(name, key, role, self.limits.clone(), tls)
        };
        let (dialer, acceptor) = (end("a", 1, self.dialer_role), end("b", 2, Role::Node));
        let listener = self.listen(&scratch).await;
        let link = self.network.dial(listener.address(), Some(&"a".into()), SOON).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        let (dialled, accepted) = soon("the handshake", async {
            tokio::join!(dialer.shake(link, Side::Dialer), acceptor.shake(accepted, Side::Acceptor))
        })
        .await;
        let (dialer_io, acceptor_io) = (IoThread::start(), IoThread::start());
        let dialer = Half::run(dialer, dialled.unwrap(), self.dialer, &dialer_io.handle);
        let acceptor = Half::run(acceptor, accepted.unwrap(), self.acceptor, &acceptor_io.handle);
        Pair { dialer, acceptor, dialer_io, acceptor_io, _scratch: scratch }
    }

    async fn listen(&self, scratch: &Scratch) -> Listener {
        let address = match self.over {
            Over::Tcp | Over::Tls => Address::parse("127.0.0.1:0").unwrap(),
            Over::Unix => Address::Unix(scratch.path("d/s")),
            Over::Memory => Address::parse("memory:b").unwrap(),
        };
        self.network.listen(&address, Some(&"b".into())).await.unwrap()
    }
}

impl Half {
    pub(crate) fn run(end: End, established: Established, behaviour: Behaviour, io: &Handle) -> Self {
        let (recorder, events) = Recorder::new(behaviour);
        let connection = established.run(io, Arc::new(Mutex::new(recorder))).unwrap();
        Self { end, connection, events }
    }
}
