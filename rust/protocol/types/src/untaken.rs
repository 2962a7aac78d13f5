use std::sync::Arc;

use crate::StreamId;

/// Own streams of a connection that its other side did not take and never will: calls on them did not execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untaken {
    from: StreamId,
    below: Arc<[StreamId]>,
}

impl Untaken {
    /// That stream and all after it.
    pub fn from(from: StreamId) -> Self {
        Self { from, below: Arc::default() }
    }

    /// Those after `last`, and these before it.
    pub fn after(last: StreamId, below: impl Into<Arc<[StreamId]>>) -> Self {
        Self { from: StreamId(last.0.saturating_add(1)), below: below.into() }
    }

    /// That stream and all after it, too.
    #[must_use]
    pub fn and_from(self, from: StreamId) -> Self {
        Self { from: self.from.min(from), ..self }
    }

    /// These, too.
    #[must_use]
    pub fn and_these(self, more: &[StreamId]) -> Self {
        if more.is_empty() {
            return self;
        }
        Self { below: self.below.iter().chain(more).copied().collect(), ..self }
    }

    /// The first of those that end the connection's streams.
    pub fn first(&self) -> StreamId {
        self.from
    }

    /// True if that stream was not taken.
    pub fn contains(&self, stream: StreamId) -> bool {
        stream >= self.from || self.below.contains(&stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken() {
        let untaken = Untaken::after(StreamId(9), vec![StreamId(3), StreamId(7)]);
        let numbers = (0..14).map(StreamId).filter(|stream| untaken.contains(*stream));
        assert_eq!(numbers.map(|stream| stream.0).collect::<Vec<_>>(), [3, 7, 10, 11, 12, 13]);
        assert!(untaken.clone().and_these(&[StreamId(5)]).contains(StreamId(5)));
        assert_eq!(untaken.clone().and_from(StreamId(12)).first(), StreamId(10));
        assert!(untaken.and_from(StreamId(5)).contains(StreamId(5)));
    }
}
