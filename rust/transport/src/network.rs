use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use crate::carrier::Carrier;
use crate::eyeballs::connect_first;
use crate::faults::{Faults, Pair, Way};
use crate::gate::Gate;
use crate::listener::{ListenError, Listener, check_peer_uid};
use crate::memory::MemoryHub;
use crate::{Address, Link};

/// What the nodes of a process listen on and dial through: real sockets, and the listeners in memory.
///
/// Nodes reach each other in memory only within clones of one network. A network with [`Faults`] applies them to every
/// link between labelled nodes, whatever carries it.
#[derive(Debug, Clone, Default)]
pub struct Network {
    memory: MemoryHub,
    faults: Option<Arc<Faults>>,
}

/// Why there is no link; all of them mean that the peer did nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The host name leads nowhere.
    #[error("{address}: the name cannot be resolved: {why}")]
    Unresolved {
        /// What was dialled.
        address: Address,
        /// What the resolver says.
        why: io::Error,
    },
    /// Nobody listens there: the process is gone, or not there yet.
    #[error("{address}: connection refused, nobody listens there")]
    Refused {
        /// What was dialled.
        address: Address,
    },
    /// No answer in time.
    #[error("{address}: no answer within {after:?}")]
    TimedOut {
        /// What was dialled.
        address: Address,
        /// How long it was tried.
        after: Duration,
    },
    /// A unix socket that belongs to another user.
    #[error("{address}: the socket belongs to user {uid}, not to this process's user")]
    OtherUser {
        /// What was dialled.
        address: Address,
        /// Whose it is.
        uid: u32,
    },
    /// Anything else.
    #[error("{address}: {why}")]
    Failed {
        /// What was dialled.
        address: Address,
        /// What the system says.
        why: io::Error,
    },
}

impl DialError {
    /// True if nobody listens there, which tells a dead process from a slow network.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    fn of(address: &Address, why: io::Error) -> Self {
        let address = address.clone();
        match why.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => Self::Refused { address },
            _ => Self::Failed { address, why },
        }
    }
}

impl Network {
    /// Real sockets, and an in-memory hub of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with faults between the nodes in it.
    pub fn with_faults(faults: Arc<Faults>) -> Self {
        Self { memory: MemoryHub::default(), faults: Some(faults) }
    }

    /// The faults between its nodes, if it has any.
    pub fn faults(&self) -> Option<&Arc<Faults>> {
        self.faults.as_ref()
    }

    /// Listens on `address`. `label` names the node for [`Faults`].
    pub async fn listen(&self, address: &Address, label: Option<&Arc<str>>) -> Result<Listener, ListenError> {
        let listener = Listener::bind(address, &self.memory).await?;
        if let (Some(faults), Some(label)) = (&self.faults, label) {
            faults.listens(listener.address(), label);
        }
        Ok(listener)
    }

    /// A link to whoever listens on `address`, within `within`. `label` names the dialling node for [`Faults`].
    pub async fn dial(
        &self,
        address: &Address,
        label: Option<&Arc<str>>,
        within: Duration,
    ) -> Result<Link, DialError> {
        let deadline = Instant::now() + within;
        let timed_out = || DialError::TimedOut { address: address.clone(), after: within };
        let gate = match self.way_to(address, label) {
            None => None,
            Some((faults, pair)) => Some(
                timeout_at(deadline, passage(faults, pair))
                    .await
                    .map_err(|_| timed_out())?
                    .map_err(|why| DialError::of(address, why))?,
            ),
        };
        let carrier = timeout_at(deadline, self.connect(address)).await.map_err(|_| timed_out())??;
        Ok(Link::gated(carrier, gate))
    }

    fn way_to(&self, address: &Address, label: Option<&Arc<str>>) -> Option<(&Arc<Faults>, Pair)> {
        let faults = self.faults.as_ref()?;
        Some((faults, Pair::new(label?, &faults.label_of(address)?)))
    }

    async fn connect(&self, address: &Address) -> Result<Carrier, DialError> {
        let fail = |why| DialError::of(address, why);
        match address {
            Address::Tcp { host, port } => {
                let resolved: Vec<_> = tokio::net::lookup_host((&**host, *port))
                    .await
                    .map_err(|why| DialError::Unresolved { address: address.clone(), why })?
                    .collect();
                let socket = connect_first(&resolved).await.map_err(fail)?;
                socket.set_nodelay(true).map_err(fail)?;
                Ok(Carrier::Tcp(socket))
            }
            Address::Unix(path) => {
                let socket = UnixStream::connect(path).await.map_err(fail)?;
                match check_peer_uid(&socket).map_err(fail)? {
                    Ok(()) => Ok(Carrier::Unix(socket)),
                    Err(uid) => Err(DialError::OtherUser { address: address.clone(), uid }),
                }
            }
            Address::Memory(name) => self.memory.dial(name).map(Carrier::Memory).map_err(fail),
        }
    }
}

/// Waits, as a dropped SYN does, until the way is open.
async fn passage(faults: &Arc<Faults>, pair: Pair) -> io::Result<Gate> {
    loop {
        let changed = faults.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        match faults.way(&pair) {
            Way::Open(delay) => {
                tokio::time::sleep(delay).await;
                return Ok(Gate::new(faults, pair));
            }
            Way::Dead => return Err(ErrorKind::ConnectionRefused.into()),
            Way::Cut => changed.await,
        }
    }
}
