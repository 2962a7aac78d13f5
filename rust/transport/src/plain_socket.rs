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

    /// Appends what fits, at most `room` bytes, if the runtime has heard that something is there; 0 is the end.
    ///
    /// A read that leaves room has taken all there was (epoll(7)), so the runtime is told to wait for more; otherwise each
    /// small frame would cost a second read that finds nothing.
    pub(crate) fn try_read(&self, into: &mut BytesMut, room: usize) -> io::Result<usize> {
        let room = (into.capacity() - into.len()).min(room).min(ROOM_MAX);
        let mut all = None;
        let read = self.waits()?.try_io(Interest::READABLE, |_| match self.read(into, room)? {
            count if (1..room).contains(&count) => {
                all = Some(count);
                Err(io::ErrorKind::WouldBlock.into())
            }
            count => Ok(count),
        });
        all.map_or(read, Ok)
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

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (PlainSocket, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (PlainSocket::new(near.into(), &Handle::current()).unwrap(), far)
    }

    fn room() -> BytesMut {
        BytesMut::with_capacity(64)
    }

    #[tokio::test]
    async fn after_a_read_that_leaves_room_the_kernel_is_not_asked_again_until_it_has_told_of_more() {
        let (socket, mut far) = pair();
        for word in [b"one", b"two"] {
            far.write_all(word).unwrap();
            socket.readable().await.unwrap();
            let mut read = room();
            assert_eq!(socket.try_read(&mut read, ROOM_MAX).unwrap(), 3);
            assert_eq!(&read[..], word);
            far.write_all(b"...").unwrap();
            let asked = socket.try_read(&mut read, ROOM_MAX).map_err(|error| error.kind());
            assert_eq!(asked, Err(ErrorKind::WouldBlock), "the runtime has not heard of it");
            socket.readable().await.unwrap();
            assert_eq!(socket.try_read(&mut read, ROOM_MAX).unwrap(), 3, "nothing is missed");
        }
    }

    #[tokio::test]
    async fn a_full_read_may_go_on_at_once_and_the_end_is_seen_after_a_short_one() {
        let (socket, mut far) = pair();
        far.write_all(&[7; 100]).unwrap();
        drop(far);
        socket.readable().await.unwrap();
        let (mut first, mut rest) = (room(), room());
        assert_eq!(socket.try_read(&mut first, ROOM_MAX).unwrap(), 64);
        assert_eq!(socket.try_read(&mut rest, ROOM_MAX).unwrap(), 36);
        socket.readable().await.unwrap();
        assert_eq!(socket.try_read(&mut room(), ROOM_MAX).unwrap(), 0);
    }
}
