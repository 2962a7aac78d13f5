use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

/// Most that one read takes: its room has to be zeroed first, which is cheap only while it stays in the cache.
const ROOM_MAX: usize = 64 * 1024;

/// The TCP or unix socket of an established connection whose bytes are the plain frames.
///
/// Bytes move by system calls on whatever thread wants to; the runtime only waits. So it can be told to leave reading
/// to another thread, which a `TcpStream` cannot: with a [`Lane`](crate::Lane) each message would wake two threads.
#[derive(Debug)]
pub(crate) struct PlainSocket {
    /// The runtime's registration. Only one can exist at a time.
    waits: Mutex<Option<Arc<AsyncFd<Shared>>>>,
    socket: Arc<OwnedFd>,
    runtime: Handle,
}

/// What the runtime knows it by; closed when the last registration is gone.
#[derive(Debug)]
struct Shared(Arc<OwnedFd>);

impl AsRawFd for Shared {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl PlainSocket {
    /// A socket that does not block; `runtime` waits for it.
    pub(crate) fn new(socket: OwnedFd, runtime: &Handle) -> io::Result<Self> {
        let this = Self { waits: Mutex::default(), socket: Arc::new(socket), runtime: runtime.clone() };
        *this.waits.lock() = Some(this.register(Interest::READABLE | Interest::WRITABLE)?);
        Ok(this)
    }

    #[expect(
        deprecated,
        reason = "its successor is unsafe, for descriptors that may be closed; this one is owned"
    )]
    fn register(&self, interest: Interest) -> io::Result<Arc<AsyncFd<Shared>>> {
        let _inside = self.runtime.enter();
        Ok(Arc::new(AsyncFd::try_with_interest(Shared(self.socket.clone()), interest)?))
    }

    /// Has the runtime wait for what arrives, or not. False if it is waiting for something at this moment.
    pub(crate) fn watch_reading(&self, watched: bool) -> io::Result<bool> {
        let mut waits = self.waits.lock();
        if waits.as_ref().is_some_and(|waits| Arc::strong_count(waits) > 1) {
            return Ok(false);
        }
        let interest = if watched { Interest::READABLE | Interest::WRITABLE } else { Interest::WRITABLE };
        // The old registration has to go before there can be another.
        *waits = None;
        *waits = Some(self.register(interest)?);
        Ok(true)
    }

    fn waits(&self) -> io::Result<Arc<AsyncFd<Shared>>> {
        self.waits.lock().clone().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Until a read makes sense.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.waits()?.readable().await?.retain_ready();
        Ok(())
    }

    /// Until a write makes sense.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.waits()?.writable().await?.retain_ready();
        Ok(())
    }

    /// Appends what fits, if the runtime has heard that something is there; 0 is the end.
    pub(crate) fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        let room = into.capacity() - into.len();
        self.waits()?.try_io(Interest::READABLE, |_| self.read(into, room))
    }

    /// Appends at most `room` bytes, whatever the runtime has heard.
    pub(crate) fn read(&self, into: &mut BytesMut, room: usize) -> io::Result<usize> {
        let before = into.len();
        into.resize(before + room.min(ROOM_MAX), 0);
        let read = rustix::io::read(&self.socket, &mut into[before..]);
        into.truncate(before + *read.as_ref().unwrap_or(&0));
        Ok(read?)
    }

    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let write = || Ok(rustix::io::writev(&self.socket, slices)?);
        match self.waits()?.try_io(Interest::WRITABLE, |_| write()) {
            // The runtime may not have heard yet that there is room; if there is none, it will.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => write(),
            done => done,
        }
    }
}

impl AsFd for PlainSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
