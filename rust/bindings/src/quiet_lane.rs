//! The lane of a loop: while calls follow one another over one connection, the loop waits for that socket itself.
//!
//! The way through the I/O thread costs two wake-ups for each message, and on an idle machine a wake-up costs more than
//! the call. Under load nothing of this is on: then the I/O thread reads while the loop works.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use mpreg_node::{Item, Lane, LaneRead, Runtime};
use mpreg_types::ConnectionId;
use rustix::event::epoll;

use crate::wake::EventFd;

/// Drains with little in them, all from one connection, before the loop reads it itself.
const CALM_DRAINS: u32 = 4;
/// What is little.
const CALM_ITEMS: usize = 2;
/// Length of a value that is still little.
const CALM_BYTES: usize = 2048;
/// More than this at once is no quiet connection any more.
const BUSY_ITEMS: usize = 8;

/// What a loop waits for: its eventfd, and the socket whose lane it holds.
#[derive(Debug)]
pub(crate) struct QuietLane {
    /// The one descriptor that the loop watches; the others are in here, and change without its selector.
    epoll: OwnedFd,
    lane: Option<Lane>,
    last: Option<ConnectionId>,
    calm: u32,
}

impl QuietLane {
    pub(crate) fn new(eventfd: &EventFd) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, eventfd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        Ok(Self { epoll, lane: None, last: None, calm: 0 })
    }

    /// Readable when the loop has something to drain.
    pub(crate) fn raw(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Reads what is there; true if something was.
    pub(crate) fn read(&mut self) -> bool {
        match self.lane.as_ref().map(Lane::read) {
            Some(LaneRead::Some) => true,
            Some(LaneRead::Over) => {
                self.leave();
                false
            }
            Some(LaneRead::Nothing) | None => false,
        }
    }

    /// After a drain: opens or leaves the lane by what came.
    pub(crate) fn judge(&mut self, items: &[Item]) {
        let mut came = items.iter().filter_map(Item::came_over);
        let Some((first, bytes)) = came.next() else { return };
        let one = bytes <= CALM_BYTES && came.all(|(other, bytes)| other == first && bytes <= CALM_BYTES);
        if one && items.len() <= CALM_ITEMS && self.last == Some(first) {
            self.calm = self.calm.saturating_add(1);
            // Once in so many drains is often enough to ask, if it was refused.
            if self.lane.is_none() && self.calm.is_multiple_of(CALM_DRAINS) {
                self.enter(first);
            }
            return;
        }
        if !one || items.len() > BUSY_ITEMS || self.last != Some(first) {
            self.leave();
        }
        self.last = Some(first);
        self.calm = 0;
    }

    fn enter(&mut self, connection: ConnectionId) {
        let Some(lane) = Runtime::open_lane(connection) else { return };
        let Some(socket) = lane.socket() else { return };
        let watched = epoll::add(&self.epoll, socket, epoll::EventData::new_u64(1), epoll::EventFlags::IN);
        if watched.is_ok() {
            self.lane = Some(lane);
        }
    }

    /// The I/O thread reads alone again.
    pub(crate) fn leave(&mut self) {
        if let Some(lane) = self.lane.take()
            && let Some(socket) = lane.socket()
        {
            // Its socket is open as long as the lane is, so this cannot fail.
            let _ = epoll::delete(&self.epoll, socket);
        }
    }
}
