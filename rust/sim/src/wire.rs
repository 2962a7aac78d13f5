//! One connection: what was written waits in the process, then is on its way, then arrives, in order and once, as TCP
//! promises. A cut holds back what is on its way until the link is open again and the kernel sends it once more.

use std::collections::{BTreeSet, VecDeque};

use mpreg_engine::Loss;
use mpreg_rpc::SendFailure;
use mpreg_types::{Incarnation, StreamId, Time, Untaken};

use crate::frame::Frame;
use crate::item::{Dialling, Spot};

/// Calls under way that each side allows itself: small, so that calls have to wait for it.
const PENDING_MAX: u32 = 32;
/// Frames that the kernel takes while nothing is acknowledged; the rest stays in the process.
const KERNEL_FRAMES: usize = 64;

/// What one side has sent.
#[derive(Debug)]
pub(crate) struct Way {
    /// True while this side's process uses the connection.
    pub(crate) open: bool,
    next_stream: u64,
    /// Calls sent and not answered, by their streams.
    pending: BTreeSet<StreamId>,
    starved: bool,
    /// Not handed to the kernel yet.
    written: Vec<Frame>,
    flying: VecDeque<(Time, Frame)>,
    last_arrival: Time,
    /// Since when nothing gets through.
    pub(crate) stalled: Option<Time>,
    /// The last call of the other side that this side took.
    last_taken: StreamId,
    pub(crate) parting: Parting,
    /// What the other side said it has not taken.
    pub(crate) heard: Option<Untaken>,
}

/// How far one side has come in ending a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Parting {
    No,
    /// It has said which calls it took last, and takes no further one.
    Said,
    /// It closed, and waits for the other's goodbye.
    Closing,
}

#[derive(Debug)]
pub(crate) struct Wire {
    /// Who is at its ends; the first one dialled.
    pub(crate) ends: [Spot; 2],
    /// Why it was dialled, until the dialler knows the outcome.
    pub(crate) dialling: Option<Dialling>,
    pub(crate) ways: [Way; 2],
    /// Which starts shook hands.
    pub(crate) incarnations: [Incarnation; 2],
}

impl Wire {
    pub(crate) fn new(ends: [Spot; 2], dialling: Dialling) -> Self {
        let way = |next_stream| Way {
            open: false,
            next_stream,
            pending: BTreeSet::new(),
            last_taken: StreamId(0),
            parting: Parting::No,
            heard: None,
            starved: false,
            written: Vec::new(),
            flying: VecDeque::new(),
            last_arrival: Time::ZERO,
            stalled: None,
        };
        Self { ends, dialling: Some(dialling), ways: [way(1), way(2)], incarnations: [Incarnation(0); 2] }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.dialling.is_none() && self.ways.iter().all(|way| !way.open && way.flying.is_empty())
    }
}

impl Way {
    /// True if the frame is the first that waits: then a flush is due.
    pub(crate) fn write(&mut self, frame: Frame) -> bool {
        if !self.open || self.is_closing() {
            return false;
        }
        self.written.push(frame);
        self.written.len() == 1
    }

    /// Calls sent and not answered.
    pub(crate) fn pending(&self) -> u32 {
        u32::try_from(self.pending.len()).unwrap_or(u32::MAX)
    }

    /// A call of the other side arrives. False: this side takes none any more.
    pub(crate) fn takes(&mut self, stream: StreamId) -> bool {
        let takes = self.parting == Parting::No;
        if takes {
            self.last_taken = stream;
        }
        takes
    }

    /// This side takes no further call: the last one it took.
    pub(crate) fn part(&mut self) -> StreamId {
        self.parting = self.parting.max(Parting::Said);
        self.last_taken
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.parting == Parting::Closing
    }

    /// The other side takes no further call.
    pub(crate) fn hear(&mut self, last: StreamId) -> Untaken {
        let untaken = Untaken::after(last, Vec::new());
        self.pending.retain(|stream| !untaken.contains(*stream));
        self.heard = Some(untaken.clone());
        untaken
    }

    /// The stream of a further call.
    pub(crate) fn next_call(&mut self) -> Result<StreamId, SendFailure> {
        if !self.open || self.is_closing() || self.heard.is_some() {
            return Err(SendFailure::Closed);
        }
        if self.pending() >= PENDING_MAX {
            self.starved = true;
            return Err(SendFailure::TooManyPending);
        }
        let stream = StreamId(self.next_stream);
        self.pending.insert(stream);
        self.next_stream += 2;
        Ok(stream)
    }

    /// A call of this side was answered. True: calls that found no place may try again.
    pub(crate) fn answered(&mut self, stream: StreamId) -> bool {
        self.pending.remove(&stream);
        std::mem::take(&mut self.starved)
    }

    /// Takes what the kernel would take now.
    pub(crate) fn take_written(&mut self) -> Vec<Frame> {
        let room = match self.stalled {
            Some(_) => KERNEL_FRAMES.saturating_sub(self.flying.len()),
            None => self.written.len(),
        };
        self.written.drain(..room.min(self.written.len())).collect()
    }

    /// Puts a frame on its way; when it arrives, at the earliest `at` and never before an earlier one.
    pub(crate) fn send(&mut self, frame: Frame, at: Time) -> Time {
        self.last_arrival = self.last_arrival.max(at);
        self.flying.push_back((self.last_arrival, frame));
        self.last_arrival
    }

    /// The next frame that has arrived.
    pub(crate) fn arrive(&mut self, now: Time) -> Option<Frame> {
        if self.flying.front().is_some_and(|(at, _)| *at <= now) {
            self.flying.pop_front().map(|(_, frame)| frame)
        } else {
            None
        }
    }

    pub(crate) fn on_the_way(&self) -> usize {
        self.flying.len()
    }

    /// All but the first `count` frames on the way never arrive.
    pub(crate) fn lose_after(&mut self, count: usize) {
        self.flying.truncate(count);
    }

    /// This side is done with the connection: which own calls provably were not taken.
    pub(crate) fn close(&mut self) -> Untaken {
        self.open = false;
        let unsent = self.written.drain(..).find_map(|frame| match frame {
            Frame::Call { stream, .. } => Some(stream),
            _ => None,
        });
        let unsent = unsent.unwrap_or(StreamId(self.next_stream));
        self.heard.take().map_or_else(|| Untaken::from(unsent), |heard| heard.and_from(unsent))
    }

    /// True if the other side will learn of the end.
    pub(crate) fn ends(&self) -> bool {
        matches!(self.flying.back(), Some((_, Frame::End(_))))
    }

    pub(crate) fn end(&mut self, loss: Loss, at: Time) -> Option<Time> {
        if self.ends() { None } else { Some(self.send(Frame::End(loss), at)) }
    }
}
