use bytes::Bytes;
use mpreg_types::{Payload, StreamId};

/// A large value on its way out, cut into chunks without a copy.
#[derive(Debug)]
pub(crate) struct Bulk {
    stream: StreamId,
    left: usize,
    /// The rest, last segment first.
    segments: Vec<Bytes>,
}

impl Bulk {
    pub(crate) fn new(stream: StreamId, value: Payload) -> Self {
        let left = value.len();
        let mut segments = vec![value.head];
        segments.extend(value.tail);
        segments.reverse();
        Self { stream, left, segments }
    }

    pub(crate) fn stream(&self) -> StreamId {
        self.stream
    }

    /// Bytes not yet cut off.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Hands the next `bytes` bytes to `take`, in as many pieces as segments they lie in.
    pub(crate) fn cut(&mut self, mut bytes: usize, mut take: impl FnMut(Bytes)) {
        self.left -= bytes;
        while bytes > 0
            && let Some(segment) = self.segments.last_mut()
        {
            let piece = segment.split_to(segment.len().min(bytes));
            if segment.is_empty() {
                self.segments.pop();
            }
            bytes -= piece.len();
            if !piece.is_empty() {
                take(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_run_across_segments_and_keep_every_byte() {
        let parts = ["ab", "", "cdefg", "h"].map(|part| Bytes::from_static(part.as_bytes()));
        let [head, tail @ ..] = parts;
        let mut bulk = Bulk::new(StreamId(1), Payload { head, tail: tail.to_vec() });
        let mut chunks = Vec::new();
        while bulk.left() > 0 {
            let mut chunk = Vec::new();
            bulk.cut(bulk.left().min(3), |piece| chunk.extend_from_slice(&piece));
            chunks.push(String::from_utf8(chunk).unwrap());
        }
        assert_eq!(chunks, ["abc", "def", "gh"]);
    }
}
