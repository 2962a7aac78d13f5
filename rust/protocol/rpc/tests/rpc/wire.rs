//! A connection of the model: what was written waits in the process, then is on its way, then arrives, in order.

use std::collections::VecDeque;

use mpreg_rpc::SendFailure;
use mpreg_types::{CallHead, Payload, ReplyHead, StreamId, Time};

/// Calls under way that each side allows itself: small, so that calls have to wait for it.
const PENDING_MAX: u32 = 6;

#[derive(Debug)]
pub(crate) enum Frame {
    Call(StreamId, CallHead),
    Reply(StreamId, ReplyHead, Payload),
    Cancel(StreamId),
    Started(Vec<u64>),
}

/// What one side has written.
#[derive(Debug, Default)]
struct Way {
    next_stream: u64,
    /// Not handed to the kernel yet.
    written: Vec<Frame>,
    flying: VecDeque<Frame>,
    /// When the last of them arrives.
    last_arrival: Time,
    pending: u32,
    starved: bool,
}

#[derive(Debug)]
pub(crate) struct Wire {
    /// Processes at its ends; the first one dialled.
    pub(crate) ends: [usize; 2],
    pub(crate) open: bool,
    ways: [Way; 2],
}

impl Wire {
    pub(crate) fn new(ends: [usize; 2]) -> Self {
        let way = |next_stream| Way { next_stream, ..Way::default() };
        Self { ends, open: true, ways: [way(1), way(2)] }
    }

    pub(crate) fn side_of(&self, process: usize) -> usize {
        usize::from(self.ends[1] == process)
    }

    /// True if the frame is the first that waits: then it has to be flushed.
    pub(crate) fn write(&mut self, side: usize, frame: Frame) -> bool {
        let first = self.ways[side].written.is_empty();
        if self.open {
            self.ways[side].written.push(frame);
        }
        first && self.open
    }

    pub(crate) fn write_call(
        &mut self,
        side: usize,
        head: CallHead,
    ) -> Result<(StreamId, bool), SendFailure> {
        let way = &mut self.ways[side];
        if !self.open {
            return Err(SendFailure::Closed);
        }
        if way.pending >= PENDING_MAX {
            way.starved = true;
            return Err(SendFailure::TooManyPending);
        }
        way.pending += 1;
        let stream = StreamId(way.next_stream);
        way.next_stream += 2;
        Ok((stream, self.write(side, Frame::Call(stream, head))))
    }

    /// Hands to the kernel what was written; the moments at which it arrives.
    pub(crate) fn flush(&mut self, side: usize, earliest: Time) -> Vec<Time> {
        let way = &mut self.ways[side];
        way.last_arrival = way.last_arrival.max(earliest);
        let frames = way.written.len();
        way.flying.extend(way.written.drain(..));
        vec![way.last_arrival; frames]
    }

    pub(crate) fn arrive(&mut self, side: usize) -> Option<Frame> {
        self.ways[side].flying.pop_front()
    }

    /// A call of that side was answered. True: calls that found no place may try again.
    pub(crate) fn answered(&mut self, side: usize) -> bool {
        let way = &mut self.ways[side];
        way.pending -= 1;
        std::mem::take(&mut way.starved)
    }

    pub(crate) fn on_the_way(&self, side: usize) -> usize {
        self.ways[side].flying.len()
    }

    /// Breaks: of each way so many frames still arrive, the rest never. The first streams of which nothing left.
    pub(crate) fn cut(&mut self, arriving: [usize; 2]) -> [StreamId; 2] {
        self.open = false;
        std::array::from_fn(|side| {
            let way = &mut self.ways[side];
            way.flying.truncate(arriving[side]);
            let unsent = way.written.drain(..).find_map(|frame| match frame {
                Frame::Call(stream, _) => Some(stream),
                _ => None,
            });
            unsent.unwrap_or(StreamId(way.next_stream))
        })
    }
}
