use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;
use tokio::runtime::Handle;

use crate::batch::{Batch, SLICES_MAX};
use crate::carrier::Carrier;
use crate::gate::Gate;
use crate::plain_socket::PlainSocket;
use crate::tls_link::TlsLink;
use crate::{CertificateError, PeerCertificate};

/// Least room a read is given.
const READ_BYTES_MIN: usize = 16 * 1024;
/// Most that one read outside the runtime takes: it is for the few small frames of a quiet connection.
pub(crate) const HERE_BYTES: usize = 4 * 1024;

/// A byte stream to a peer over TCP, TLS, a unix socket or memory, before and below the frames.
///
/// Reading and writing never block and may be called from every thread; waiting belongs to the runtime the link was
/// last attached to.
#[derive(Debug)]
pub struct Link {
    carrier: Carrier,
    gate: Option<Box<Gate>>,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Everything is with the kernel.
    All,
    /// The kernel takes no more for now.
    Blocked,
}

impl Link {
    pub(crate) fn new(carrier: Carrier) -> Self {
        Self { carrier, gate: None }
    }

    pub(crate) fn gated(carrier: Carrier, gate: Option<Gate>) -> Self {
        Self { carrier, gate: gate.map(Box::new) }
    }

    /// Inside `session`, once its handshake is through. Only TCP is encrypted: the others do not leave the machine.
    pub(crate) async fn secure(self, session: rustls::Connection) -> io::Result<Self> {
        let carrier = match self.carrier {
            Carrier::Tcp(socket) => Carrier::Tls(Box::new(TlsLink::handshake(socket, session).await?)),
            other => other,
        };
        Ok(Self { carrier, ..self })
    }

    /// True if it goes over TCP, encrypted or not.
    pub fn is_tcp(&self) -> bool {
        matches!(self.carrier, Carrier::Tcp(_) | Carrier::Tls(_))
    }

    /// Appends to `into` what is there, about `room` bytes at most where more room costs something; 0 is the end of the
    /// stream.
    pub(crate) fn try_read(&self, into: &mut BytesMut, room: usize) -> io::Result<usize> {
        if into.capacity() == into.len() {
            into.reserve(READ_BYTES_MIN);
        }
        match &self.gate {
            None => self.carrier.try_read(into, room),
            Some(gate) => gate.try_read(&self.carrier, into),
        }
    }

    /// What another thread than the runtime's may wait for to read here; `None` if only the runtime can tell.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.plain().map(AsFd::as_fd)
    }

    fn plain(&self) -> Option<&PlainSocket> {
        self.carrier.plain().filter(|_| self.gate.is_none())
    }

    /// Has the runtime wait for what arrives, or leave that to the thread that waits for [`Self::socket`]. False if
    /// that cannot be now.
    pub(crate) fn watch_reading(&self, watched: bool) -> io::Result<bool> {
        self.plain().map_or(Ok(false), |socket| socket.watch_reading(watched))
    }

    /// Appends to `into` a little of what is there. For links with a [`Self::socket`]. 0 is the end of the stream.
    pub(crate) fn read_here(&self, into: &mut BytesMut) -> io::Result<usize> {
        let Some(socket) = self.plain() else { return Err(ErrorKind::WouldBlock.into()) };
        socket.read(into, HERE_BYTES)
    }

    /// Writes as much of `batch` as is taken; an error leaves in it what was not.
    pub(crate) fn try_write(&self, batch: &mut Batch) -> io::Result<Written> {
        while !batch.is_done() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = batch.fill(&mut slices);
            let taken = match &self.gate {
                None => self.carrier.try_write(&slices[..count]),
                Some(gate) => gate.try_write(&self.carrier, &slices[..count]),
            };
            match taken {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => batch.advance(taken),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Written::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let flushed = match &self.gate {
            None => self.carrier.flush()?,
            Some(gate) => gate.flush(&self.carrier)?,
        };
        Ok(if flushed { Written::All } else { Written::Blocked })
    }

    /// Until a read makes sense.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match &self.gate {
            None => self.carrier.readable().await,
            Some(gate) => gate.readable(&self.carrier).await,
        }
    }

    /// Until a write makes sense.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match &self.gate {
            None => self.carrier.writable().await,
            Some(gate) => gate.writable(&self.carrier).await,
        }
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.carrier.shutdown_write()
    }

    /// Ends both directions for every holder of the link.
    pub(crate) fn shutdown(&self) {
        self.carrier.shutdown();
    }

    /// True if the other end is on this machine.
    pub fn is_local(&self) -> bool {
        self.carrier.is_local()
    }

    /// True if it is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.carrier, Carrier::Tls(_))
    }

    /// Who the peer is by its certificate; `None` without TLS.
    pub fn peer_certificate(&self) -> Result<Option<PeerCertificate>, CertificateError> {
        match &self.carrier {
            Carrier::Tls(link) => link.peer_certificate().map(Some),
            Carrier::Tcp(_) | Carrier::Unix(_) | Carrier::Plain { .. } | Carrier::Memory(_) => Ok(None),
        }
    }

    /// The same link, woken by `runtime` from now on.
    pub(crate) fn reattach(self, runtime: &Handle) -> io::Result<Self> {
        Ok(Self { carrier: self.carrier.reattach(runtime)?, gate: self.gate })
    }
}
