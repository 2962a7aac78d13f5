//! The lanes of a loop: while calls follow one another over one connection, or two, the loop waits for those sockets
//! itself.
//!
//! The way through the I/O thread costs two wake-ups for each message, and on an idle machine a wake-up costs more than
//! the call. Under load nothing of this is on: then the I/O thread reads while the loop works.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use mpreg_node::{Item, Lane, LaneRead, Runtime};
use mpreg_types::ConnectionId;
use rustix::event::epoll;

use crate::wake::EventFd;

/// Drains with little in them before the loop reads a connection itself.
const CALM_DRAINS: u32 = 4;
/// What is little.
const CALM_ITEMS: usize = 2;
/// Length of a value that is still little.
const CALM_BYTES: usize = 2048;
/// More than this at once is no quiet connection any more.
const BUSY_ITEMS: usize = 8;
/// Reads after one another that brought this loop nothing: what comes is relayed, or a graph's whose steps run elsewhere.
const FRUITLESS_READS: u32 = 4;
/// Connections that a loop reads itself: a client's, and that of the node which its graph's steps go to.
const LANES_MAX: usize = 2;

/// What a loop waits for: its eventfd, and the sockets whose lanes it holds.
#[derive(Debug)]
pub(crate) struct QuietLanes {
    /// The one descriptor that the loop watches; the others are in here, and change without its selector.
    epoll: OwnedFd,
    /// Those that little came over lately, the last one last.
    quiet: Vec<Quiet>,
}

/// A connection that little comes over.
#[derive(Debug)]
struct Quiet {
    connection: ConnectionId,
    /// Drains with little in them so far.
    calm: u32,
    /// Reads since the last item.
    fruitless: u32,
    lane: Option<Lane>,
}

impl QuietLanes {
    pub(crate) fn new(eventfd: &EventFd) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, eventfd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        Ok(Self { epoll, quiet: Vec::new() })
    }

    /// Readable when the loop has something to drain.
    pub(crate) fn raw(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Reads what is there; true if something was.
    pub(crate) fn read(&mut self) -> bool {
        // The one that was silent for longer first: with two, requests and replies come over them in turn.
        for index in 0..self.quiet.len() {
            match self.quiet[index].lane.as_ref().map(Lane::read) {
                Some(LaneRead::Some) => {
                    self.quiet[index].fruitless += 1;
                    return true;
                }
                Some(LaneRead::Over) => self.close(index),
                Some(LaneRead::Nothing) | None => {}
            }
        }
        false
    }

    /// After a drain: opens or leaves lanes by what came.
    pub(crate) fn judge(&mut self, items: &[Item]) {
        let little = items.len() <= CALM_ITEMS;
        for (connection, bytes) in items.iter().filter_map(Item::came_over) {
            if bytes > CALM_BYTES || items.len() > BUSY_ITEMS {
                return self.leave();
            }
            self.came_over(connection, little);
        }
        let fruitless = self.quiet.iter().position(|quiet| quiet.fruitless >= FRUITLESS_READS);
        if let Some(index) = fruitless {
            self.close(index);
            self.quiet.remove(index);
        }
    }

    /// One more for that connection, which is the last one now.
    fn came_over(&mut self, connection: ConnectionId, little: bool) {
        let known = self.quiet.iter().position(|quiet| quiet.connection == connection);
        let mut quiet = if let Some(index) = known {
            self.quiet.remove(index)
        } else {
            if self.quiet.len() == LANES_MAX {
                self.close(0);
                self.quiet.remove(0);
            }
            Quiet { connection, calm: 0, fruitless: 0, lane: None }
        };
        quiet.fruitless = 0;
        quiet.calm = if little { quiet.calm.saturating_add(1) } else { 0 };
        // Once in so many drains is often enough to ask, if it was refused.
        if quiet.lane.is_none() && quiet.calm > 0 && quiet.calm.is_multiple_of(CALM_DRAINS) {
            quiet.lane = self.open(connection);
        }
        self.quiet.push(quiet);
    }

    fn open(&self, connection: ConnectionId) -> Option<Lane> {
        let lane = Runtime::open_lane(connection)?;
        let socket = lane.socket()?;
        let watched = epoll::add(&self.epoll, socket, epoll::EventData::new_u64(1), epoll::EventFlags::IN);
        watched.is_ok().then_some(lane)
    }

    /// The I/O thread reads alone again.
    pub(crate) fn leave(&mut self) {
        (0..self.quiet.len()).for_each(|index| self.close(index));
        self.quiet.clear();
    }

    fn close(&mut self, index: usize) {
        if let Some(lane) = self.quiet[index].lane.take()
            && let Some(socket) = lane.socket()
        {
            // Its socket is open as long as the lane is, so this cannot fail.
            let _ = epoll::delete(&self.epoll, socket);
        }
    }
}
