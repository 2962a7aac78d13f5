use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::carrier::Carrier;
use crate::memory::{MemoryHub, MemoryListener};
use crate::{Address, Link};

/// Accepts links on one address.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
    Memory(MemoryListener),
}

/// Why an address cannot be listened on; quotes it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Somebody else listens there.
    #[error(
        "{address} is in use: another process listens there, or another node of this one; end it, or choose another address (port 0 = the system chooses)"
    )]
    InUse {
        /// What was asked for.
        address: Address,
    },
    /// A unix socket's directory that others can enter.
    #[error("{directory}: a unix socket needs a directory that only its owner can enter (mode 0700, yours)", directory = .directory.display())]
    OpenDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// Anything else, as "no such interface" or "permission denied".
    #[error("cannot listen on {address}: {why}")]
    Failed {
        /// What was asked for.
        address: Address,
        /// What the system says.
        why: io::Error,
    },
}

impl ListenError {
    fn of(address: &Address, why: io::Error) -> Self {
        let address = address.clone();
        match why.kind() {
            ErrorKind::AddrInUse => Self::InUse { address },
            _ => Self::Failed { address, why },
        }
    }
}

impl Listener {
    pub(crate) async fn bind(address: &Address, memory: &MemoryHub) -> Result<Self, ListenError> {
        let fail = |why| ListenError::of(address, why);
        match address {
            Address::Tcp { host, port } => {
                let socket = TcpListener::bind((&**host, *port)).await.map_err(fail)?;
                let address = socket.local_addr().map_err(fail)?.into();
                Ok(Self { socket: Socket::Tcp(socket), address })
            }
            Address::Unix(path) => {
                let socket = bind_unix(address, path)?;
                Ok(Self { socket: Socket::Unix(socket), address: address.clone() })
            }
            Address::Memory(name) => {
                let socket = Socket::Memory(memory.listen(name).map_err(fail)?);
                Ok(Self { socket, address: address.clone() })
            }
        }
    }

    /// Where it listens, with the port the system chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next link. A unix peer of another user is turned away and reported as an error of its own link; errors say
    /// nothing about the listener, which stays open.
    pub async fn accept(&self) -> io::Result<Link> {
        let carrier = match &self.socket {
            Socket::Tcp(listener) => {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Carrier::Tcp(socket)
            }
            Socket::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                match check_peer_uid(&socket)? {
                    Ok(()) => Carrier::Unix(socket),
                    Err(uid) => {
                        let why = format!("user {uid} is not the user of this process");
                        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
                    }
                }
            }
            Socket::Memory(listener) => Carrier::Memory(listener.accept().await?),
        };
        Ok(Link::new(carrier))
    }
}

impl Drop for Listener {
    /// The file of a unix socket goes with it.
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            // Whoever removed it before did what we wanted.
            drop(fs::remove_file(path));
        }
    }
}

/// The uid of the process at the other end, if it is not ours.
pub(crate) fn check_peer_uid(socket: &UnixStream) -> io::Result<Result<(), u32>> {
    let uid = socket.peer_cred()?.uid();
    Ok(if uid == rustix::process::geteuid().as_raw() { Ok(()) } else { Err(uid) })
}

fn bind_unix(address: &Address, path: &Path) -> Result<UnixListener, ListenError> {
    let fail = |why| ListenError::of(address, why);
    let directory = path.parent().unwrap_or(Path::new("/"));
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(fail(error)),
    }
    // Not followed: a link could point to a directory that others can enter.
    let found = fs::symlink_metadata(directory).map_err(fail)?;
    if !found.is_dir() || found.mode() & 0o077 != 0 || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(ListenError::OpenDirectory { directory: directory.into() });
    }
    match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path).map_err(fail)?;
            UnixListener::bind(path).map_err(fail)
        }
        bound => bound.map_err(fail),
    }
}

/// True if `path` is the socket of a process that is gone. One that lives and has a full backlog answers otherwise.
fn is_stale(path: &Path) -> bool {
    let connect = || {
        let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        ioctl_fionbio(&socket, true)?;
        connect(&socket, &SocketAddrUnix::new(path)?)
    };
    connect() == Err(Errno::CONNREFUSED)
}
