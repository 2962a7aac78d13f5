use std::collections::{HashMap, VecDeque};

use mpreg_types::{ItemHead, Payload, StreamId};
use mpreg_wire::{FrameFlags, FrameHeader, FrameKind, encode_item};

use crate::SendError;
use crate::bulk::Bulk;
use crate::outbox::{Outbox, append};

/// Items that could not be written at once, each stream's in its order and the streams in turn; the reply that ends a
/// stream stands behind its items.
///
/// A stream's window bounds what waits of it, since its sender makes no item without credit of the reader; all of them
/// together have as much room as replies.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    queues: HashMap<StreamId, VecDeque<Part>>,
    bytes: u64,
    turns: VecDeque<StreamId>,
}

/// What waits to be written.
#[derive(Debug)]
enum Part {
    /// An item or a reply; its value is in the frame, or follows as the next part.
    Head { kind: FrameKind, flags: FrameFlags, meta: Vec<u8>, value: Payload },
    /// What is left of a large value.
    Rest(Bulk),
}

impl Flows {
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(crate) fn contains(&self, stream: StreamId) -> bool {
        self.queues.contains_key(&stream)
    }

    /// Bytes of values that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes = 0;
        self.queues.clear();
        self.turns.clear();
    }

    pub(crate) fn push(
        &mut self,
        kind: FrameKind,
        stream: StreamId,
        meta: Vec<u8>,
        value: Payload,
        chunk_bytes: usize,
    ) {
        let queue = self.queues.entry(stream).or_insert_with(|| {
            self.turns.push_back(stream);
            VecDeque::new()
        });
        self.bytes += value.len() as u64;
        if value.len() > chunk_bytes {
            queue.push_back(Part::Head { kind, flags: FrameFlags::MORE, meta, value: Payload::default() });
            queue.push_back(Part::Rest(Bulk::new(stream, value)));
        } else {
            queue.push_back(Part::Head { kind, flags: FrameFlags::NONE, meta, value });
        }
    }

    /// Nobody reads that stream any more. True if a value of it was begun and must be ended.
    pub(crate) fn remove(&mut self, stream: StreamId) -> bool {
        self.turns.retain(|other| *other != stream);
        let queue = self.queues.remove(&stream);
        self.bytes -= queue.iter().flatten().map(Part::value_bytes).sum::<u64>();
        matches!(queue.as_ref().and_then(VecDeque::front), Some(Part::Rest(_)))
    }
}

impl Part {
    fn value_bytes(&self) -> u64 {
        match self {
            Self::Head { value, .. } => value.len() as u64,
            Self::Rest(bulk) => bulk.left() as u64,
        }
    }
}

impl Outbox {
    /// Appends an item, or lets it wait for credit of the connection behind others.
    pub(crate) fn push_item(
        &mut self,
        stream: StreamId,
        head: &ItemHead,
        value: &Payload,
    ) -> Result<(), SendError> {
        self.check_open()?;
        self.check_length(value.len())?;
        let in_chunks = value.len() > self.limits.chunk_bytes;
        let cost = (size_of::<u64>() + value.len()) as u64;
        if !in_chunks && self.flows.is_empty() && self.bulk.is_empty() && self.has_bulk_credit(cost) {
            let meta_bytes = size_of::<u64>();
            let header =
                FrameHeader::new(FrameKind::Item, FrameFlags::NONE, stream, meta_bytes, value.len())?;
            self.calls.buffer().extend_from_slice(&header.encode());
            encode_item(head, false, self.calls.buffer());
            value.segments().for_each(|segment| append(&mut self.calls, segment));
            self.credit -= cost;
            self.frames += 1;
            return Ok(());
        }
        self.check_untaken(value.len())?;
        let mut meta = Vec::new();
        encode_item(head, in_chunks, &mut meta);
        self.flows.push(FrameKind::Item, stream, meta, value.clone(), self.limits.chunk_bytes);
        Ok(())
    }

    /// Returns credit of one stream to its sender, which may wait for nothing else: even a full queue takes it. There
    /// are never more of these than a stream's window allows.
    pub(crate) fn push_stream_credit(&mut self, stream: StreamId, bytes: u64) -> Result<(), SendError> {
        self.check_open()?;
        self.append_credit(stream, bytes)
    }

    /// Cuts what the credit allows of the streams' items into the batch, one frame of each stream in turn.
    pub(crate) fn cut_items(&mut self, room: &mut usize) {
        while let Some(stream) = self.flows.turns.front().copied() {
            let Some(queue) = self.flows.queues.get_mut(&stream) else { return };
            let Some(part) = queue.pop_front() else { return };
            let bytes = match &part {
                Part::Head { meta, value, .. } => meta.len() + value.len(),
                Part::Rest(bulk) => bulk.left().min(self.limits.chunk_bytes),
            };
            if bytes > *room || self.credit < bytes as u64 + self.limits.bulk_floor {
                queue.push_front(part);
                return;
            }
            let rest = self.cut_part(stream, part, bytes);
            *room -= bytes;
            self.flows.turns.pop_front();
            let Some(queue) = self.flows.queues.get_mut(&stream) else { return };
            if let Some(rest) = rest {
                queue.push_front(rest);
            }
            if queue.is_empty() {
                self.flows.queues.remove(&stream);
            } else {
                self.flows.turns.push_back(stream);
            }
        }
    }

    /// Writes one frame of `bytes` bytes; what is left of a large value.
    fn cut_part(&mut self, stream: StreamId, part: Part, bytes: usize) -> Option<Part> {
        self.credit -= bytes as u64;
        self.frames += 1;
        self.flows.bytes -= part.value_bytes().min(bytes as u64);
        match part {
            Part::Head { kind, flags, meta, value } => {
                // It could be framed when it was queued, and nothing of it has changed since.
                if let Ok(header) = FrameHeader::new(kind, flags, stream, meta.len(), value.len()) {
                    self.calls.buffer().extend_from_slice(&header.encode());
                    self.calls.buffer().extend_from_slice(&meta);
                    value.segments().for_each(|segment| append(&mut self.calls, segment));
                }
                None
            }
            Part::Rest(mut bulk) => {
                let flags = if bytes == bulk.left() { FrameFlags::LAST } else { FrameFlags::NONE };
                if let Ok(header) = FrameHeader::new(FrameKind::Chunk, flags, stream, 0, bytes) {
                    self.calls.buffer().extend_from_slice(&header.encode());
                    bulk.cut(bytes, |segment| append(&mut self.calls, &segment));
                }
                (bulk.left() > 0).then_some(Part::Rest(bulk))
            }
        }
    }

    fn has_bulk_credit(&self, cost: u64) -> bool {
        self.credit >= cost + self.limits.bulk_floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_of_a_stream_is_forgotten_with_it() {
        let mut flows = Flows::default();
        let value = Payload::from(vec![0; 10]);
        flows.push(FrameKind::Item, StreamId(1), vec![0; 8], value.clone(), 4);
        flows.push(FrameKind::Item, StreamId(3), vec![0; 8], value, 16);
        assert!(flows.contains(StreamId(1)) && flows.contains(StreamId(3)));
        assert!(!flows.remove(StreamId(1)) && !flows.contains(StreamId(1)));
        assert!(!flows.remove(StreamId(3)) && flows.is_empty());
    }
}
