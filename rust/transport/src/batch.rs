use std::io::IoSlice;

use bytes::Bytes;
use mpreg_types::StreamId;

/// Segments handed to the kernel in one call.
pub(crate) const SLICES_MAX: usize = 64;
/// Largest buffer that is kept for the next batch.
const SPARE_BYTES_MAX: usize = 1024 * 1024;

/// Frames in the order they will be written: small things in one buffer, large values spliced in uncopied.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    buffer: Vec<u8>,
    splices: Vec<Splice>,
    heads: Vec<Head>,
    spliced_bytes: usize,
}

/// `bytes` belong behind the first `at` bytes of the buffer.
#[derive(Debug)]
struct Splice {
    at: usize,
    bytes: Bytes,
}

/// Where in the lane an own stream begins.
#[derive(Debug, Clone, Copy)]
struct Head {
    offset: usize,
    stream: StreamId,
}

impl Lane {
    /// Bytes in all.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len() + self.spliced_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Where frames are encoded; only ever appended to.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Appends `bytes` without copying them.
    pub(crate) fn splice(&mut self, bytes: Bytes) {
        self.spliced_bytes += bytes.len();
        self.splices.push(Splice { at: self.buffer.len(), bytes });
    }

    /// Notes that the frame which begins `offset` bytes into the lane opens `stream`.
    pub(crate) fn note_head(&mut self, stream: StreamId, offset: usize) {
        self.heads.push(Head { offset, stream });
    }

    /// The first own stream in it.
    pub(crate) fn first_head(&self) -> Option<StreamId> {
        self.first_head_from(0)
    }

    /// The first stream of which no byte lies before `written`.
    fn first_head_from(&self, written: usize) -> Option<StreamId> {
        let index = self.heads.partition_point(|head| head.offset < written);
        self.heads.get(index).map(|head| head.stream)
    }

    fn clear(&mut self) {
        if self.buffer.capacity() > SPARE_BYTES_MAX {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        self.splices.clear();
        self.heads.clear();
        self.spliced_bytes = 0;
    }
}

/// What is being written: control frames, then the others. Survives partial writes byte for byte.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) control: Lane,
    pub(crate) calls: Lane,
    position: Position,
}

/// How far a batch has been written.
#[derive(Debug, Default, Clone, Copy)]
struct Position {
    /// True once the control lane is done.
    in_calls: bool,
    /// Bytes of the lane, splices included.
    written: usize,
    /// Bytes of the lane's buffer.
    buffered: usize,
    /// Splices that are done.
    splices: usize,
    /// Bytes of the next splice.
    in_splice: usize,
}

struct Piece<'a> {
    bytes: &'a [u8],
    is_splice: bool,
}

impl Position {
    fn advance(&mut self, in_splice: bool, count: usize) {
        self.written += count;
        if in_splice { self.in_splice += count } else { self.buffered += count }
    }
}

impl Batch {
    /// True if there is nothing left to write.
    pub(crate) fn is_done(&self) -> bool {
        let Position { in_calls, written, .. } = self.position;
        if in_calls { written == self.calls.len() } else { self.control.is_empty() && self.calls.is_empty() }
    }

    /// Bytes not yet written.
    pub(crate) fn len(&self) -> usize {
        let in_control = if self.position.in_calls { 0 } else { self.control.len() };
        in_control + self.calls.len() - self.position.written
    }

    /// Of those, how many are control frames.
    pub(crate) fn control_left(&self) -> usize {
        if self.position.in_calls { 0 } else { self.control.len() - self.position.written }
    }

    /// Empties it and keeps its buffers.
    pub(crate) fn clear(&mut self) {
        self.control.clear();
        self.calls.clear();
        self.position = Position::default();
    }

    /// The first own stream in it of which no byte was written.
    pub(crate) fn first_unwritten(&self) -> Option<StreamId> {
        self.calls.first_head_from(if self.position.in_calls { self.position.written } else { 0 })
    }

    /// What comes next, as far as it fits into `slices`; returns how many were filled.
    pub(crate) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut count = 0;
        let mut position = self.position;
        while count < SLICES_MAX
            && let Some(piece) = self.piece(&mut position)
        {
            slices[count] = IoSlice::new(piece.bytes);
            count += 1;
            position.advance(piece.is_splice, piece.bytes.len());
        }
        count
    }

    /// `count` more bytes were taken by the kernel.
    pub(crate) fn advance(&mut self, mut count: usize) {
        let mut position = self.position;
        while count > 0
            && let Some(piece) = self.piece(&mut position)
        {
            let step = piece.bytes.len().min(count);
            position.advance(piece.is_splice, step);
            count -= step;
        }
        // Leaves the control lane behind as soon as it is done, so that `is_done` needs no search.
        self.piece(&mut position);
        self.position = position;
    }

    /// The contiguous bytes at `position`, which first moves past what is complete.
    fn piece(&self, position: &mut Position) -> Option<Piece<'_>> {
        loop {
            let lane = if position.in_calls { &self.calls } else { &self.control };
            let splice = lane.splices.get(position.splices);
            let border = splice.map_or(lane.buffer.len(), |splice| splice.at);
            if position.buffered < border {
                return Some(Piece { bytes: &lane.buffer[position.buffered..border], is_splice: false });
            }
            match splice {
                Some(splice) if position.in_splice < splice.bytes.len() => {
                    return Some(Piece { bytes: &splice.bytes[position.in_splice..], is_splice: true });
                }
                Some(_) => {
                    position.splices += 1;
                    position.in_splice = 0;
                }
                None if position.in_calls => return None,
                None => *position = Position { in_calls: true, ..Position::default() },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A lane of frames, each with a head, some with a splice; and the bytes it stands for.
    fn lane(frames: &[(u8, usize)], flat: &mut Vec<u8>) -> (Lane, Vec<(usize, StreamId)>) {
        let (mut lane, mut heads) = (Lane::default(), Vec::new());
        let start = flat.len();
        for (index, (fill, spliced)) in (0..).zip(frames) {
            let offset = flat.len() - start;
            let inline = vec![*fill; 3];
            lane.buffer().extend_from_slice(&inline);
            flat.extend_from_slice(&inline);
            lane.note_head(StreamId(index), offset);
            heads.push((offset, StreamId(index)));
            if *spliced > 0 {
                lane.splice(vec![fill.wrapping_add(1); *spliced].into());
                flat.extend(std::iter::repeat_n(fill.wrapping_add(1), *spliced));
            }
        }
        (lane, heads)
    }

    proptest! {
        #[test]
        fn partial_writes_of_any_size_carry_every_byte_once_and_know_the_first_unwritten_stream(
            control in proptest::collection::vec(any::<u8>(), 0..20),
            frames in proptest::collection::vec((any::<u8>(), 0_usize..9), 0..100),
            steps in proptest::collection::vec(1_usize..40, 1..50),
        ) {
            let mut flat = control.clone();
            let (calls, heads) = lane(&frames, &mut flat);
            let mut batch = Batch { calls, ..Batch::default() };
            batch.control.buffer().extend_from_slice(&control);
            let (mut written, mut steps) = (Vec::new(), steps.iter().cycle());
            loop {
                prop_assert_eq!(batch.len(), flat.len() - written.len());
                prop_assert_eq!(batch.is_done(), flat.len() == written.len());
                let expected = heads.iter().find(|(offset, _)| control.len() + offset >= written.len());
                prop_assert_eq!(batch.first_unwritten(), expected.map(|(_, stream)| *stream));
                if batch.is_done() {
                    break;
                }
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = batch.fill(&mut slices);
                prop_assert!(count > 0);
                let offered: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                let taken = offered.len().min(*steps.next().unwrap());
                written.extend_from_slice(&offered[..taken]);
                batch.advance(taken);
            }
            prop_assert_eq!(written, flat);
            batch.clear();
            prop_assert!(batch.is_done());
        }
    }
}
