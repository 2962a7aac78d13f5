use bytes::Bytes;

/// In an encoded value, an array whose first element is this extension of one byte is no list but what the byte says.
pub const VALUE_EXT_TAG: i8 = 1;
/// A tuple: its items follow.
pub const VALUE_TAG_TUPLE: u8 = 1;

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

    /// A stretch of it, on the same memory; cut at the end of what there is.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Self {
        let mut parts = Vec::new();
        let mut start = 0;
        for segment in self.segments() {
            let end = start + segment.len();
            let (cut_from, cut_to) = (from.clamp(start, end), to.clamp(start, end));
            if cut_from < cut_to {
                parts.push(segment.slice(cut_from - start..cut_to - start));
            }
            start = end;
        }
        parts.into_iter().collect()
    }

    /// In order, empty ones left out.
    pub fn segments(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.head).chain(&self.tail).filter(|segment| !segment.is_empty())
    }
}

impl FromIterator<Bytes> for Payload {
    fn from_iter<I: IntoIterator<Item = Bytes>>(segments: I) -> Self {
        let mut segments = segments.into_iter();
        Self { head: segments.next().unwrap_or_default(), tail: segments.collect() }
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
