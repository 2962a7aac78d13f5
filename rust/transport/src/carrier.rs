use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use bytes::BytesMut;
use rustix::net::{Shutdown, shutdown};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Handle;

use crate::memory::MemoryLink;
use crate::plain_socket::PlainSocket;
use crate::tls_link::TlsLink;

/// What carries the bytes of a [`Link`](crate::Link): never blocks, may be used from every thread.
#[derive(Debug)]
pub(crate) enum Carrier {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// TCP or unix, established.
    Plain {
        socket: PlainSocket,
        is_local: bool,
    },
    Tls(Box<TlsLink>),
    Memory(MemoryLink),
}

impl Carrier {
    /// Reads into the spare room of `into`, of which about `room` is to be used; 0 is the end.
    pub(crate) fn try_read(&self, into: &mut BytesMut, room: usize) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read_buf(into),
            Self::Unix(socket) => socket.try_read_buf(into),
            Self::Plain { socket, .. } => socket.try_read(into, room),
            Self::Tls(link) => link.try_read(into),
            Self::Memory(link) => link.try_read(into),
        }
    }

    /// The socket under it, if its bytes are the plain frames.
    pub(crate) fn plain(&self) -> Option<&PlainSocket> {
        match self {
            Self::Plain { socket, .. } => Some(socket),
            Self::Tcp(_) | Self::Unix(_) | Self::Tls(_) | Self::Memory(_) => None,
        }
    }

    /// Writes what is taken of `slices`.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write_vectored(slices),
            Self::Unix(socket) => socket.try_write_vectored(slices),
            Self::Plain { socket, .. } => socket.try_write(slices),
            Self::Tls(link) => link.try_write(slices),
            Self::Memory(link) => link.try_write(slices),
        }
    }

    /// True if nothing that [`Self::try_write`] took waits to be written.
    pub(crate) fn flush(&self) -> io::Result<bool> {
        match self {
            Self::Tls(link) => link.flush(),
            Self::Tcp(_) | Self::Unix(_) | Self::Plain { .. } | Self::Memory(_) => Ok(true),
        }
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
            Self::Plain { socket, .. } => socket.readable().await,
            Self::Tls(link) => link.socket().readable().await,
            Self::Memory(link) => {
                link.readable().await;
                Ok(())
            }
        }
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.writable().await,
            Self::Unix(socket) => socket.writable().await,
            Self::Plain { socket, .. } => socket.writable().await,
            Self::Tls(link) => link.socket().writable().await,
            Self::Memory(link) => {
                link.writable().await;
                Ok(())
            }
        }
    }

    /// Tells the peer that nothing more comes; what it sends can still be read.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => shutdown(socket, Shutdown::Write)?,
            Self::Unix(socket) => shutdown(socket, Shutdown::Write)?,
            Self::Plain { socket, .. } => shutdown(socket, Shutdown::Write)?,
            Self::Tls(link) => link.shutdown_write()?,
            Self::Memory(link) => link.shutdown_write(),
        }
        Ok(())
    }

    /// Ends both directions at once, whoever else still holds the link.
    pub(crate) fn shutdown(&self) {
        // An error means that it has ended already.
        match self {
            Self::Tcp(socket) => drop(shutdown(socket, Shutdown::Both)),
            Self::Unix(socket) => drop(shutdown(socket, Shutdown::Both)),
            Self::Plain { socket, .. } => drop(shutdown(socket, Shutdown::Both)),
            Self::Tls(link) => drop(shutdown(link.socket(), Shutdown::Both)),
            Self::Memory(link) => link.shutdown(),
        }
    }

    /// True if the other end is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let loopback = |socket: &TcpStream| match socket.peer_addr().map(|peer| peer.ip()) {
            Ok(IpAddr::V4(ip)) => ip.is_loopback(),
            Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
            Err(_) => false,
        };
        match self {
            Self::Tcp(socket) => loopback(socket),
            Self::Tls(link) => loopback(link.socket()),
            Self::Plain { is_local, .. } => *is_local,
            Self::Unix(_) | Self::Memory(_) => true,
        }
    }

    /// The same carrier, woken by `runtime` from now on.
    pub(crate) fn reattach(self, runtime: &Handle) -> io::Result<Self> {
        let is_local = self.is_local();
        let plain = |socket: OwnedFd| {
            PlainSocket::new(socket, runtime).map(|socket| Self::Plain { socket, is_local })
        };
        match self {
            Self::Tcp(socket) => plain(socket.into_std()?.into()),
            Self::Unix(socket) => plain(socket.into_std()?.into()),
            Self::Tls(link) => Ok(Self::Tls(Box::new(link.reattach(runtime)?))),
            Self::Plain { .. } | Self::Memory(_) => Ok(self),
        }
    }
}
