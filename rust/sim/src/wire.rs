//! One connection: what was written waits in the process, then is on its way, then arrives, in order and once, as TCP
//! promises. A cut holds back what is on its way until the link is open again and the kernel sends it once more.

use std::collections::VecDeque;

use mpreg_engine::Loss;
use mpreg_rpc::SendFailure;
use mpreg_types::{Incarnation, StreamId, Time};

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
    /// Calls sent and not answered.
    pending: u32,
    starved: bool,
    /// Not handed to the kernel yet.
    written: Vec<Frame>,
    flying: VecDeque<(Time, Frame)>,
    last_arrival: Time,
    /// Since when nothing gets through.
    pub(crate) stalled: Option<Time>,
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
            pending: 0,
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
        if !self.open {
            return false;
        }
        self.written.push(frame);
        self.written.len() == 1
    }

    /// Calls sent and not answered.
    pub(crate) fn pending(&self) -> u32 {
        self.pending
    }

    /// The stream of a further call.
    pub(crate) fn next_call(&mut self) -> Result<StreamId, SendFailure> {
        if !self.open {
            return Err(SendFailure::Closed);
        }
        if self.pending >= PENDING_MAX {
            self.starved = true;
            return Err(SendFailure::TooManyPending);
        }
        self.pending += 1;
        let stream = StreamId(self.next_stream);
        self.next_stream += 2;
        Ok(stream)
    }

    /// A call of this side was answered. True: calls that found no place may try again.
    pub(crate) fn answered(&mut self) -> bool {
        self.pending = self.pending.saturating_sub(1);
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

    /// This side is done with the connection: the first own stream of which no byte was handed to the kernel.
    pub(crate) fn close(&mut self) -> StreamId {
        self.open = false;
        let unsent = self.written.drain(..).find_map(|frame| match frame {
            Frame::Call { stream, .. } => Some(stream),
            _ => None,
        });
        unsent.unwrap_or(StreamId(self.next_stream))
    }

    /// True if the other side will learn of the end.
    pub(crate) fn ends(&self) -> bool {
        matches!(self.flying.back(), Some((_, Frame::End(_))))
    }

    pub(crate) fn end(&mut self, loss: Loss, at: Time) -> Option<Time> {
        if self.ends() { None } else { Some(self.send(Frame::End(loss), at)) }
    }
}
