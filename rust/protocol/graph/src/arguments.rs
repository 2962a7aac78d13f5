use bytes::Bytes;
use mpreg_types::Payload;

/// Arguments that grow piece by piece from a template: what stands in it, and values where its references are.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    template: &'a Payload,
    taken: usize,
    segments: Vec<Bytes>,
    bytes: usize,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(template: &'a Payload) -> Self {
        Self { template, taken: 0, segments: Vec::new(), bytes: 0 }
    }

    /// The template up to `at`; how long the arguments are then.
    pub(crate) fn up_to(&mut self, at: u64) -> u64 {
        let at = usize::try_from(at).unwrap_or(usize::MAX).clamp(self.taken, self.template.len());
        let piece = self.template.slice(self.taken, at);
        self.taken = at;
        self.put(piece);
        self.bytes as u64
    }

    /// A value.
    pub(crate) fn put(&mut self, value: Payload) {
        self.bytes += value.len();
        self.segments.extend(std::iter::once(value.head).chain(value.tail).filter(|part| !part.is_empty()));
    }

    /// The rest of the template, and all in one.
    pub(crate) fn finish(mut self) -> Payload {
        self.up_to(u64::MAX);
        self.segments.into_iter().collect()
    }
}
