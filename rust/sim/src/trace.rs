/// A fingerprint of all that happened: two runs with equal ones did the same. FNV-1a, which is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    hash: u64,
    steps: u64,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, steps: 0 }
    }

    pub(crate) fn note(&mut self, numbers: &[u64], bytes: &[u8]) {
        self.steps += 1;
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        for byte in numbers.chain(bytes.iter().copied()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// How much happened.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}
