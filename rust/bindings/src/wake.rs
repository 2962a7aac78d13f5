//! How the I/O thread wakes an asyncio loop: an eventfd that the loop watches with `add_reader`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mpreg_node::Wake;
use rustix::event::{EventfdFlags, eventfd};

use crate::watch;

/// One side is written by any thread, the other is watched by the loop. No interpreter, no lock.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Another handle to the same counter, for the writing side.
    pub(crate) fn writer(&self) -> std::io::Result<Self> {
        Ok(Self(self.0.as_fd().try_clone_to_owned()?))
    }

    /// Resets the counter, so that the loop sleeps again.
    pub(crate) fn clear(&self) {
        let mut count = [0_u8; 8];
        // Not ready is fine: somebody drained without being woken.
        let _ = rustix::io::read(&self.0, &mut count);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Wake for EventFd {
    fn wake(&self) {
        // It can only fail when the counter is full, and then the loop is awake anyway.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        watch::stir();
    }
}
