use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

/// Bytes a direction of an in-memory link holds before its writer has to wait, about a socket's buffer.
pub(crate) const PIPE_BYTES: usize = 256 * 1024;
/// Dialled links a listener holds before further dials are refused, as a socket's backlog.
const BACKLOG: usize = 1024;

/// The listeners of one process that are reached without any socket, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryHub {
    listeners: Arc<Mutex<HashMap<Arc<str>, mpsc::Sender<MemoryLink>>>>,
}

impl MemoryHub {
    /// Opens `name`, which nobody else may have open.
    pub(crate) fn listen(&self, name: &Arc<str>) -> io::Result<MemoryListener> {
        let mut listeners = self.listeners.lock();
        if listeners.contains_key(name) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let (sender, incoming) = mpsc::channel(BACKLOG);
        listeners.insert(name.clone(), sender);
        drop(listeners);
        let incoming = tokio::sync::Mutex::new(incoming);
        Ok(MemoryListener { name: name.clone(), hub: self.clone(), incoming })
    }

    /// A link to the listener `name`, at once.
    pub(crate) fn dial(&self, name: &str) -> io::Result<MemoryLink> {
        let listeners = self.listeners.lock();
        let sender = listeners.get(name).ok_or(ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = MemoryLink::pair();
        sender.try_send(theirs).map_err(|_| ErrorKind::ConnectionRefused)?;
        Ok(ours)
    }
}

/// Accepts what [`MemoryHub::dial`] opens; its name is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryListener {
    name: Arc<str>,
    hub: MemoryHub,
    incoming: tokio::sync::Mutex<mpsc::Receiver<MemoryLink>>,
}

impl MemoryListener {
    pub(crate) async fn accept(&self) -> io::Result<MemoryLink> {
        self.incoming.lock().await.recv().await.ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.hub.listeners.lock().remove(&self.name);
    }
}

/// One end of two bounded pipes; behaves as a connected socket does, partial writes included.
#[derive(Debug)]
pub(crate) struct MemoryLink {
    inbound: Arc<Pipe>,
    outbound: Arc<Pipe>,
}

impl MemoryLink {
    fn pair() -> (Self, Self) {
        let (a, b) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        (Self { inbound: a.clone(), outbound: b.clone() }, Self { inbound: b, outbound: a })
    }

    pub(crate) fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        self.inbound.try_read(into)
    }

    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.outbound.try_write(slices)
    }

    pub(crate) async fn readable(&self) {
        wait_until(&self.inbound.readable, || self.inbound.state.lock().is_readable()).await;
    }

    pub(crate) async fn writable(&self) {
        wait_until(&self.outbound.writable, || self.outbound.state.lock().is_writable()).await;
    }

    pub(crate) fn shutdown_write(&self) {
        self.outbound.close(|state| state.ended = true);
    }

    pub(crate) fn shutdown(&self) {
        self.shutdown_write();
        self.inbound.close(|state| state.broken = true);
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// `notify_one` keeps a permit, so a change between the check and the wait is never missed.
async fn wait_until(notify: &Notify, ready: impl Fn() -> bool) {
    while !ready() {
        notify.notified().await;
    }
}

#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<PipeState>,
    readable: Notify,
    writable: Notify,
}

#[derive(Debug, Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    /// The writer is done: what is here is the rest.
    ended: bool,
    /// The reader is gone: writing fails.
    broken: bool,
}

impl PipeState {
    fn is_readable(&self) -> bool {
        !self.bytes.is_empty() || self.ended || self.broken
    }

    fn is_writable(&self) -> bool {
        self.bytes.len() < PIPE_BYTES || self.ended || self.broken
    }
}

impl Pipe {
    fn close(&self, change: impl FnOnce(&mut PipeState)) {
        change(&mut self.state.lock());
        self.readable.notify_one();
        self.writable.notify_one();
    }

    fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        let mut state = self.state.lock();
        if state.bytes.is_empty() {
            return if state.ended || state.broken { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let count = state.bytes.len().min(into.capacity() - into.len());
        let (first, second) = state.bytes.as_slices();
        let from_first = first.len().min(count);
        into.extend_from_slice(&first[..from_first]);
        into.extend_from_slice(&second[..count - from_first]);
        state.bytes.drain(..count);
        drop(state);
        self.writable.notify_one();
        Ok(count)
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.lock();
        if state.broken || state.ended {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut written = 0;
        for slice in slices {
            let count = slice.len().min(PIPE_BYTES - state.bytes.len());
            state.bytes.extend(&slice[..count]);
            written += count;
        }
        drop(state);
        if written == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.readable.notify_one();
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked() -> (MemoryLink, MemoryLink) {
        MemoryLink::pair()
    }

    #[test]
    fn a_full_pipe_takes_a_part_and_then_nothing() {
        let (a, b) = linked();
        let big = vec![7; PIPE_BYTES - 1];
        assert_eq!(a.try_write(&[IoSlice::new(&big)]).unwrap(), PIPE_BYTES - 1);
        assert_eq!(a.try_write(&[IoSlice::new(&[1, 2, 3])]).unwrap(), 1);
        assert_eq!(a.try_write(&[IoSlice::new(&[2])]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut into = BytesMut::with_capacity(10);
        let room = into.capacity();
        assert_eq!(b.try_read(&mut into).unwrap(), room);
        assert_eq!(a.try_write(&[IoSlice::new(&[2])]).unwrap(), 1);
    }

    #[test]
    fn what_was_written_before_the_end_is_still_read() {
        let (a, b) = linked();
        a.try_write(&[IoSlice::new(b"last"), IoSlice::new(b" words")]).unwrap();
        drop(a);
        let mut into = BytesMut::with_capacity(64);
        assert_eq!(b.try_read(&mut into).unwrap(), 10);
        assert_eq!(&into[..], b"last words");
        assert_eq!(b.try_read(&mut into).unwrap(), 0);
        assert_eq!(b.try_write(&[IoSlice::new(b"x")]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_name_is_taken_once_and_free_after_the_drop() {
        let hub = MemoryHub::default();
        let name: Arc<str> = "a".into();
        assert_eq!(hub.dial("a").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let listener = hub.listen(&name).unwrap();
        assert_eq!(hub.listen(&name).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(hub.dial("a").is_ok());
        drop(listener);
        assert_eq!(hub.dial("a").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(hub.listen(&name).is_ok());
    }
}
