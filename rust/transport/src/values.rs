use std::collections::HashMap;

use bytes::Bytes;
use mpreg_types::{CallHead, ItemHead, Payload, ReplyHead, StreamId};

use crate::ProtocolError;

/// Memory for an arriving value grows to at most this many times what has arrived.
const GROWTH: usize = 16;

/// Values that arrive in chunks, each until its last one.
#[derive(Debug)]
pub(crate) struct Values {
    open: HashMap<StreamId, Value>,
    max: u32,
}

/// What announced a value.
#[derive(Debug)]
pub(crate) enum ValueHead {
    Call(CallHead),
    Reply(ReplyHead),
    Item(ItemHead),
}

#[derive(Debug)]
struct Value {
    /// `None`: it was not admitted, its bytes are thrown away.
    head: Option<ValueHead>,
    announced: u64,
    arrived: u64,
    bytes: Vec<u8>,
}

/// What a chunk did.
#[derive(Debug)]
pub(crate) enum Chunked {
    /// More is to come.
    More,
    /// The value is whole.
    Whole(ValueHead, Payload),
    /// It ended before it was whole. Its sender does so when the value was cancelled, otherwise it is an error.
    Short {
        /// What was admitted for it.
        admitted: u64,
        /// What the breach would be.
        breach: ProtocolError,
    },
    /// The rest of what was not admitted has gone by.
    Skipped,
}

impl Values {
    /// At most `max` at once.
    pub(crate) fn new(max: u32) -> Self {
        Self { open: HashMap::new(), max }
    }

    /// An error if one more would be too many.
    pub(crate) fn check_room(&self) -> Result<(), ProtocolError> {
        if self.open.len() < self.max as usize {
            Ok(())
        } else {
            Err(ProtocolError::TooManyValues { max: self.max })
        }
    }

    /// Announces a value; without a head its bytes are skipped.
    pub(crate) fn announce(&mut self, stream: StreamId, head: Option<ValueHead>, announced: u64) {
        self.open.insert(stream, Value { head, announced, arrived: 0, bytes: Vec::new() });
    }

    /// True if a value is arriving on `stream`.
    pub(crate) fn contains(&self, stream: StreamId) -> bool {
        self.open.contains_key(&stream)
    }

    /// The next chunk; `None` if no value is arriving on that stream.
    pub(crate) fn chunk(
        &mut self,
        stream: StreamId,
        chunk: &[u8],
        is_last: bool,
    ) -> Option<Result<Chunked, ProtocolError>> {
        let value = self.open.get_mut(&stream)?;
        value.arrived += chunk.len() as u64;
        let Value { announced, arrived, .. } = *value;
        let breach = ProtocolError::ValueLength { stream, announced, arrived };
        // An empty chunk would be a frame for nothing, as often as one likes.
        let is_idle = chunk.is_empty() && !is_last;
        if is_idle || arrived > announced || (arrived == announced && !is_last) {
            return Some(Err(breach));
        }
        if value.head.is_some() {
            value.append(chunk);
        }
        if !is_last {
            return Some(Ok(Chunked::More));
        }
        let value = self.open.remove(&stream)?;
        Some(Ok(match value.head {
            None => Chunked::Skipped,
            Some(_) if arrived < announced => Chunked::Short { admitted: announced, breach },
            Some(head) => Chunked::Whole(head, Bytes::from(value.bytes).into()),
        }))
    }

    /// Forgets a value whose sender cancelled it; what was admitted for it, if anything was arriving.
    pub(crate) fn cancel(&mut self, stream: StreamId) -> Option<u64> {
        self.open.remove(&stream).map(|value| value.admitted())
    }

    /// No call is taken any more: those of the other side whose values are still arriving, and what was admitted for them.
    /// The rest of their values is skipped.
    pub(crate) fn skip_calls(&mut self) -> (Vec<StreamId>, u64) {
        let (mut streams, mut admitted) = (Vec::new(), 0);
        for (stream, value) in &mut self.open {
            if matches!(value.head, Some(ValueHead::Call(_))) {
                streams.push(*stream);
                admitted += value.admitted();
                value.head = None;
                value.bytes = Vec::new();
            }
        }
        streams.sort_unstable();
        (streams, admitted)
    }

    /// Forgets all; what was admitted for them in all.
    pub(crate) fn clear(&mut self) -> u64 {
        self.open.drain().map(|(_, value)| value.admitted()).sum()
    }
}

impl Value {
    fn admitted(&self) -> u64 {
        if self.head.is_some() { self.announced } else { 0 }
    }

    fn append(&mut self, chunk: &[u8]) {
        let needed = self.bytes.len() + chunk.len();
        if needed > self.bytes.capacity() {
            let announced = usize::try_from(self.announced).unwrap_or(usize::MAX);
            let target = needed.saturating_mul(GROWTH).min(announced).max(needed);
            self.bytes.reserve_exact(target - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(3);

    fn announced(bytes: u64) -> Values {
        let mut values = Values::new(2);
        let head = ValueHead::Reply(ReplyHead::ok(1, bytes));
        values.announce(STREAM, Some(head), bytes);
        values
    }

    fn feed(values: &mut Values, chunk: &[u8], is_last: bool) -> Result<Chunked, ProtocolError> {
        values.chunk(STREAM, chunk, is_last).expect("a value is arriving")
    }

    #[test]
    fn chunks_make_the_value() {
        let mut values = announced(5);
        assert!(matches!(feed(&mut values, b"abc", false), Ok(Chunked::More)));
        let Ok(Chunked::Whole(_, payload)) = feed(&mut values, b"de", true) else { panic!("whole") };
        assert_eq!(&payload.head[..], b"abcde");
        assert!(values.chunk(STREAM, b"", true).is_none());
    }

    #[test]
    fn memory_follows_what_arrives_and_not_what_is_announced() {
        let mut values = announced(1 << 30);
        feed(&mut values, &[0; 1000], false).unwrap();
        assert!(values.open[&STREAM].bytes.capacity() <= GROWTH * 1000);
    }

    #[test]
    fn too_long_empty_and_unended_values_are_breaches() {
        assert!(feed(&mut announced(2), b"abc", true).is_err());
        assert!(feed(&mut announced(2), b"", false).is_err());
        assert!(feed(&mut announced(2), b"ab", false).is_err());
        assert!(matches!(feed(&mut announced(2), b"a", true), Ok(Chunked::Short { admitted: 2, .. })));
    }

    #[test]
    fn what_was_not_admitted_goes_by_without_being_kept() {
        let mut values = Values::new(2);
        values.announce(STREAM, None, 3);
        assert!(matches!(feed(&mut values, b"ab", false), Ok(Chunked::More)));
        assert!(values.open[&STREAM].bytes.is_empty());
        assert!(matches!(feed(&mut values, b"c", true), Ok(Chunked::Skipped)));
    }

    #[test]
    fn there_are_only_so_many_at_once_and_all_are_given_back() {
        let mut values = announced(7);
        assert!(values.check_room().is_ok());
        values.announce(StreamId(5), None, 100);
        assert!(values.check_room().is_err());
        assert_eq!(values.cancel(StreamId(9)), None);
        assert_eq!(values.clear(), 7);
        assert!(!values.contains(STREAM));
    }
}
