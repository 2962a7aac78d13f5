//! Streams are asked for, made item by item, passed on and read, quickly or slowly.

use std::collections::VecDeque;
use std::time::Duration;

use mpreg_rpc::{CallKey, Pass, SWITCH_BRIDGE, Taken, bridge_of};
use mpreg_types::{
    CallId, ConnectionId, ErrorCode, Executed, ItemHead, Payload, STREAM_WINDOW, StreamId, item_cost,
};
use mpreg_wire::{FrameFlags, FrameHeader, FrameKind, decode_item, encode_item};

use super::World;
use super::boot::BRIDGE;
use crate::frame::Frame;
use crate::item::{Item, Spot};
use crate::job::JobKey;

/// The function that callers ask for.
pub(crate) const WORK_STREAM: &str = "work.stream";
/// Longest item.
const ITEM_BYTES_MAX: u64 = 200_000;
/// Number and execution, at the beginning of every item.
const LABEL_BYTES: usize = 8;

/// A stream at its reader.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// What each item costs that waits to be read.
    waiting: VecDeque<u64>,
    taken: Taken,
    reads: bool,
}

impl World {
    /// `count` streams for random running processes within `duration` from now.
    pub fn load_streams(&mut self, count: usize, duration: Duration) {
        self.spread(count, duration, Item::Stream);
    }

    /// The function of a stream has begun.
    pub(crate) fn stream_begins(&mut self, spot: Spot, key: JobKey, execution: usize) {
        let total = u32::try_from(self.random(40)).unwrap_or(0);
        let Some(process) = &mut self.places[spot.place].process else { return };
        let Some(making) = process.jobs.get_mut(&key).and_then(|job| job.making.as_mut()) else { return };
        (making.total, making.execution) = (total, u32::try_from(execution).unwrap_or(u32::MAX));
        self.after(Duration::ZERO, Item::Make(spot, key));
    }

    /// The next item of a stream is made, or tried again, or the stream ends.
    pub(crate) fn make_item(&mut self, spot: Spot, key: JobKey) {
        if !self.is_there(spot) {
            return;
        }
        let large = self.random(6) == 0;
        let fresh = LABEL_BYTES as u64 + self.random(if large { ITEM_BYTES_MAX } else { 2_000 });
        let pause = self.random_time(Duration::from_millis(6));
        let raises = self.random(100) < self.habits.raises;
        let Some(process) = &mut self.places[spot.place].process else { return };
        let Some(job) = process.jobs.get_mut(&key) else { return };
        let Some(making) = &mut job.making else { return };
        let bytes = making.waits.take().unwrap_or(fresh);
        let passed =
            if making.next < making.total { making.gate.pass(item_cost(bytes)) } else { Pass::Passed };
        match passed {
            Pass::Closed => self.answer(spot.place, key, None),
            Pass::Wait => making.waits = Some(bytes),
            Pass::Passed if making.next == making.total => {
                self.answer(spot.place, key, raises.then_some((ErrorCode::Remote, Executed::Yes)));
            }
            Pass::Passed => {
                let mut value = vec![0; usize::try_from(bytes).unwrap_or(LABEL_BYTES)];
                value[..4].copy_from_slice(&making.next.to_be_bytes());
                value[4..LABEL_BYTES].copy_from_slice(&making.execution.to_be_bytes());
                making.next += 1;
                let (reply_to, head) = (job.reply_to, ItemHead { token: job.token, value_bytes: bytes });
                self.after(pause, Item::Make(spot, key));
                match (key, reply_to) {
                    (JobKey::Local(call), _) => self.local_item(spot.place, call, &value.into()),
                    (JobKey::Remote(_), Some((to, stream))) => {
                        self.write_item(spot.place, to, stream, &head, value.into());
                    }
                    (JobKey::Remote(_), None) => {}
                }
            }
        }
    }

    /// There is credit again, or nobody reads any more.
    pub(crate) fn resume_stream(&mut self, place: usize, key: JobKey) {
        let Some(process) = &mut self.places[place].process else { return };
        let spot = Spot { place, start: process.start };
        self.after(Duration::from_micros(50), Item::Make(spot, key));
    }

    pub(crate) fn write_item(
        &mut self,
        place: usize,
        to: ConnectionId,
        stream: StreamId,
        head: &ItemHead,
        value: Payload,
    ) {
        let mut meta = Vec::new();
        encode_item(head, false, &mut meta);
        self.write(place, to, Frame::Item { stream, meta: meta.into(), value });
    }

    pub(crate) fn item_arrives(
        &mut self,
        here: usize,
        on: ConnectionId,
        stream: StreamId,
        meta: &[u8],
        value: Payload,
    ) {
        let now = self.now;
        let header = FrameHeader::new(FrameKind::Item, FrameFlags::NONE, stream, meta.len(), value.len());
        let head = header.and_then(|header| decode_item(&header, meta));
        assert!(head.is_ok(), "an item of an honest callee cannot be read: {head:?}");
        let Ok(head) = head else { return };
        if bridge_of(head.token) == SWITCH_BRIDGE {
            return self.with_switch(here, |switch, out| switch.item(on, stream, head, value, out));
        }
        let mut whose = None;
        self.with_table(here, BRIDGE, |table, desk, _| whose = table.item(on, stream, &head, now, desk));
        if let Some(key) = whose {
            self.item_is_here(here, key, &value);
        }
    }

    fn local_item(&mut self, place: usize, key: CallKey, value: &Payload) {
        let mut is_read = false;
        self.with_table(place, BRIDGE, |table, _, _| is_read = table.local_item(key, value.len() as u64));
        if is_read {
            self.item_is_here(place, key, value);
        }
    }

    fn item_is_here(&mut self, place: usize, key: CallKey, value: &Payload) {
        let Some(process) = &mut self.places[place].process else { return };
        let spot = Spot { place, start: process.start };
        let Some(call) = process.calls.get(&key).copied() else {
            return self.ledger.strays.push((place, key));
        };
        let reading = process.reading.entry(key).or_default();
        reading.waiting.push_back(item_cost(value.len() as u64));
        let held: u64 = reading.waiting.iter().sum();
        let begins = !std::mem::replace(&mut reading.reads, true);
        self.note_item(call, value, held);
        if begins {
            let pause = self.random_time(Duration::from_millis(8));
            self.after(pause, Item::Read(spot, key));
        }
    }

    fn note_item(&mut self, call: CallId, value: &Payload, held: u64) {
        let Some(stream) = self.ledger.fates.get_mut(&call).and_then(|fate| fate.stream.as_mut()) else {
            return;
        };
        let number = |at: usize| {
            value
                .head
                .get(at..at + 4)
                .and_then(|part| part.try_into().ok())
                .map_or(u32::MAX, u32::from_be_bytes)
        };
        stream.received.push((number(4), number(0)));
        stream.held_too_much |= held > STREAM_WINDOW;
    }

    /// The reader takes one item.
    pub(crate) fn read_item(&mut self, spot: Spot, key: CallKey) {
        if !self.is_there(spot) {
            return;
        }
        let slow = self.random(4) == 0;
        let pause = self.random_time(Duration::from_millis(if slow { 30 } else { 3 }));
        let Some(process) = &mut self.places[spot.place].process else { return };
        let Some(reading) = process.reading.get_mut(&key) else { return };
        let Some(cost) = reading.waiting.pop_front() else {
            reading.reads = false;
            return;
        };
        if let Some(bytes) = reading.taken.add(cost) {
            self.with_table(spot.place, BRIDGE, |table, desk, _| table.items_taken(key, bytes, desk));
        }
        self.after(pause, Item::Read(spot, key));
    }

    /// A machine says that its peer broke a window. Nobody does here.
    pub(crate) fn breach(&mut self, place: usize, on: ConnectionId, stream: StreamId) {
        self.ledger.breaches.push((place, on, stream));
    }
}
