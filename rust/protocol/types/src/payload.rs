use bytes::Bytes;

/// An encoded user value: opaque from Python to Python. Large buffers are segments of their own and never copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload {
    /// The first (for most values the only) segment.
    pub head: Bytes,
    /// Further segments, in order.
    pub tail: Vec<Bytes>,
}

impl Payload {
    /// Length over all segments.
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.iter().map(Bytes::len).sum::<usize>()
    }

    /// True if it has no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In order, empty ones left out.
    pub fn segments(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.head).chain(&self.tail).filter(|segment| !segment.is_empty())
    }
}

impl From<Bytes> for Payload {
    fn from(head: Bytes) -> Self {
        Self { head, tail: Vec::new() }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}
