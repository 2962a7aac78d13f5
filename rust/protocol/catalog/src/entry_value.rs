use bytes::Bytes;
use mpreg_types::Scope;
use serde::{Serialize, de::DeserializeOwned};

use crate::{CatalogError, EntryKey, EntryKind, FunctionEntry, NodeFacts};

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryValue {
    /// What the node is.
    NodeFacts(NodeFacts),
    /// A function it offers.
    Function(FunctionEntry),
    /// Something this build cannot read; kept and relayed as it is.
    Opaque(OpaqueEntry),
}

/// An entry of a kind that this build does not know, or with a value that it cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueEntry {
    /// Its key.
    pub key: EntryKey,
    /// Its bytes.
    pub value: Bytes,
}

impl EntryValue {
    /// What identifies it among its owner's entries.
    pub fn key(&self) -> EntryKey {
        match self {
            Self::NodeFacts(_) => EntryKey::NodeFacts,
            Self::Function(function) => function.key(),
            Self::Opaque(opaque) => opaque.key.clone(),
        }
    }

    /// How many resources it names.
    pub(crate) fn resource_count(&self) -> usize {
        match self {
            Self::NodeFacts(facts) => facts.resources.len(),
            Self::Function(function) => function.resources.len(),
            Self::Opaque(_) => 0,
        }
    }

    /// True for what must never leave its node.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Function(function) if function.scope == Scope::Local)
    }

    /// Its bytes in a batch.
    pub(crate) fn encode(&self) -> Result<Bytes, CatalogError> {
        fn named<T: Serialize>(kind: EntryKind, value: &T) -> Result<Bytes, CatalogError> {
            rmp_serde::to_vec_named(value)
                .map(Bytes::from)
                .map_err(|error| CatalogError::DoesNotEncode { kind, why: error.to_string() })
        }
        match self {
            Self::NodeFacts(facts) => named(EntryKind::NODE_FACTS, facts),
            Self::Function(function) => named(EntryKind::FUNCTION, function),
            Self::Opaque(opaque) => Ok(opaque.value.clone()),
        }
    }

    /// Reads `encoded`, the value of `key`. What this build cannot read, or what contradicts its key, is opaque: a
    /// later version of mpreg may write it, and its owner's log must not stop there.
    pub(crate) fn decode(key: &EntryKey, encoded: &Bytes) -> Self {
        fn named<T: DeserializeOwned>(encoded: &[u8]) -> Option<T> {
            rmp_serde::from_slice(encoded).ok()
        }
        let known = match key {
            EntryKey::NodeFacts => named(encoded).map(Self::NodeFacts),
            EntryKey::Function { .. } => named(encoded).map(Self::Function),
            EntryKey::Unknown { .. } => None,
        };
        known
            .filter(|value| value.key() == *key && !value.is_local())
            .unwrap_or_else(|| Self::Opaque(OpaqueEntry { key: key.clone(), value: encoded.clone() }))
    }
}
