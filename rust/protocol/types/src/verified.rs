use std::ops::Deref;

/// Proof that a signature was checked. Signed input enters the protocol crates only in this wrapper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Vouches for `value`. Banned by every clippy.toml; allowed once, in `wire::verify`.
    pub fn assume_verified(value: T) -> Self {
        Self(value)
    }

    /// What was verified.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
