//! The addresses under which a node can be dialled; opaque text here, bounded because they travel in every row.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::AddressesError;

/// Where a node listens, best first. Cheap to clone; at most [`Addresses::MAX`] of at most [`Addresses::BYTES_MAX`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Addresses(Arc<[String]>);

impl Addresses {
    /// Most addresses of one node.
    pub const MAX: usize = 8;
    /// Longest address, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// Checks number and length.
    pub fn new(addresses: Vec<String>) -> Result<Self, AddressesError> {
        if addresses.len() > Self::MAX {
            return Err(AddressesError::TooMany { count: addresses.len() });
        }
        if let Some(long) = addresses.iter().find(|address| address.len() > Self::BYTES_MAX) {
            return Err(AddressesError::TooLong { bytes: long.len() });
        }
        Ok(Self(addresses.into()))
    }

    /// Bytes they take in a row, roughly; used to cut tables into messages.
    pub(crate) fn weight(&self) -> usize {
        self.iter().map(|address| address.len() + 2).sum()
    }
}

impl Deref for Addresses {
    type Target = [String];
    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl TryFrom<Vec<String>> for Addresses {
    type Error = AddressesError;
    fn try_from(addresses: Vec<String>) -> Result<Self, AddressesError> {
        Self::new(addresses)
    }
}

impl From<Addresses> for Vec<String> {
    fn from(addresses: Addresses) -> Self {
        addresses.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_length_are_bounded() {
        assert!(Addresses::new(vec!["10.0.0.1:1".to_owned(); Addresses::MAX]).is_ok());
        assert!(Addresses::new(vec![String::new(); Addresses::MAX + 1]).is_err());
        assert!(Addresses::new(vec!["x".repeat(Addresses::BYTES_MAX + 1)]).is_err());
    }
}
