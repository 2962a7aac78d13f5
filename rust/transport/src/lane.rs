use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::Connection;
use crate::link::HERE_BYTES;

/// The right of one thread to read a quiet connection itself, as soon as its socket is readable.
///
/// Where calls follow one another, waking the io thread only to have it wake the thread that waits costs as much as the
/// call. The io thread looks every few milliseconds whether the lane is read, and reads on itself if it is not: so a
/// thread that becomes busy with something else delays a connection once, by that little.
#[derive(Debug)]
pub struct Lane {
    connection: Arc<Connection>,
}

/// What a read in a lane gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneRead {
    /// Something was read and handed over.
    Some,
    /// There was nothing to read, or the io thread is reading it.
    Nothing,
    /// The io thread reads alone from now on.
    Over,
}

const FREE: u8 = 0;
const HELD: u8 = 1;
const REVOKED: u8 = 2;

/// A connection's side of its lane.
#[derive(Debug, Default)]
pub(crate) struct LaneState {
    state: AtomicU8,
    reads: AtomicU64,
    returning: AtomicBool,
}

impl LaneState {
    /// What has been read in the lane so far, if somebody holds it.
    pub(crate) fn reads(&self) -> Option<u64> {
        (self.state.load(Ordering::Acquire) == HELD).then(|| self.reads.load(Ordering::Acquire))
    }

    /// Its holder does not read: the io thread does from now on.
    pub(crate) fn revoke(&self) {
        // Free by now is as good.
        let _ = self.state.compare_exchange(HELD, REVOKED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The reading task is about to wait for the socket again, or does so.
    pub(crate) fn set_returning(&self, returning: bool) {
        self.returning.store(returning, Ordering::Release);
    }

    /// True while the reading task needs the socket's registration for itself.
    pub(crate) fn is_returning(&self) -> bool {
        self.returning.load(Ordering::Acquire)
    }
}

impl Lane {
    /// `None` if the connection has no socket to wait for, or another thread has its lane.
    pub fn open(connection: Arc<Connection>) -> Option<Self> {
        connection.link.socket()?;
        let free = connection.lane.state.compare_exchange(FREE, HELD, Ordering::AcqRel, Ordering::Acquire);
        free.ok()?;
        // The reading task stops waiting for it.
        connection.attention.notify_one();
        Some(Self { connection })
    }

    /// What to wait for: readable means that a read makes sense.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.connection.link.socket()
    }

    /// The connection it reads.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// One small read on this thread. What is read reaches its handler in here.
    pub fn read(&self) -> LaneRead {
        let lane = &self.connection.lane;
        if lane.state.load(Ordering::Acquire) != HELD || !self.connection.is_open() {
            return LaneRead::Over;
        }
        match self.connection.read_here() {
            0 => LaneRead::Nothing,
            count => {
                lane.reads.fetch_add(1, Ordering::AcqRel);
                if count == HERE_BYTES {
                    // There is more: a large value, or many calls. That is the io thread's.
                    lane.revoke();
                    self.connection.attention.notify_one();
                }
                LaneRead::Some
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.connection.lane.state.store(FREE, Ordering::Release);
        self.connection.attention.notify_one();
    }
}
