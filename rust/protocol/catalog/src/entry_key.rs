use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use mpreg_types::{FunctionName, FunctionVersion, escape_control};

/// Number of a kind of entry on the wire. Numbers are never given to another kind; unknown ones are kept and relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKind(pub u16);

impl EntryKind {
    /// What the node is: one entry.
    pub const NODE_FACTS: Self = Self(1);
    /// A function it offers.
    pub const FUNCTION: Self = Self(2);
}

/// What identifies an entry among those of its owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKey {
    /// The node's facts; there is one.
    NodeFacts,
    /// One version of a function.
    Function {
        /// Its name.
        name: FunctionName,
        /// Its version.
        version: FunctionVersion,
    },
    /// A kind that this build does not know, or a key it cannot read.
    Unknown {
        /// Its kind.
        kind: EntryKind,
        /// The rest of its key.
        key: Bytes,
    },
}

/// Every key begins with its kind.
pub(crate) const KIND_BYTES: usize = 2;
/// Between name and version in a function's key; no name contains it.
const SEPARATOR: u8 = 0;

impl EntryKey {
    /// Its kind.
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::NodeFacts => EntryKind::NODE_FACTS,
            Self::Function { .. } => EntryKind::FUNCTION,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Its bytes in a batch: kind (u16, big-endian), then what the kind says.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u16(self.kind().0);
        match self {
            Self::NodeFacts => {}
            Self::Function { name, version } => {
                out.put_slice(name.as_str().as_bytes());
                out.put_u8(SEPARATOR);
                out.put_slice(version.to_string().as_bytes());
            }
            Self::Unknown { key, .. } => out.put_slice(key),
        }
        out.freeze()
    }

    /// Reads what [`Self::encode`] wrote. A key of a known kind in any other spelling is `Unknown`, so that one key
    /// never has two spellings.
    pub(crate) fn decode(encoded: &Bytes) -> Self {
        let Some((kind, rest)) = encoded.split_first_chunk::<KIND_BYTES>() else {
            unreachable!("a batch with so short a key does not parse");
        };
        let kind = EntryKind(u16::from_be_bytes(*kind));
        let known = match kind {
            EntryKind::NODE_FACTS => rest.is_empty().then_some(Self::NodeFacts),
            EntryKind::FUNCTION => Self::function(rest),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Unknown { kind, key: encoded.slice(KIND_BYTES..) })
    }

    fn function(rest: &[u8]) -> Option<Self> {
        let (name, version) = std::str::from_utf8(rest).ok()?.split_once(char::from(SEPARATOR))?;
        let parsed = FunctionVersion::parse(version).ok()?;
        let canonical = parsed.to_string() == version;
        let name = FunctionName::parse(name).ok()?;
        canonical.then_some(Self::Function { name, version: parsed })
    }
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeFacts => f.write_str("node facts"),
            Self::Function { name, version } => write!(f, "{name} {version}"),
            Self::Unknown { kind, key } => {
                let text = String::from_utf8_lossy(&key[..key.len().min(64)]);
                write!(f, "kind {} {}", kind.0, escape_control(&text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(version: &str) -> EntryKey {
        EntryKey::Function {
            name: FunctionName::parse("shop.score").unwrap(),
            version: FunctionVersion::parse(version).unwrap(),
        }
    }

    #[test]
    fn keys_come_back_as_they_went() {
        let unknown = EntryKey::Unknown { kind: EntryKind(900), key: Bytes::from_static(b"\xff\x00x") };
        for key in [EntryKey::NodeFacts, function("1.2.0-rc.1"), unknown] {
            assert_eq!(EntryKey::decode(&key.encode()), key);
        }
    }

    #[test]
    fn another_spelling_is_another_key() {
        for bytes in
            [&b"\x00\x02shop.score\x001.2"[..], b"\x00\x02shop..score\x001.2.0", b"\x00\x02x", b"\x00\x01x"]
        {
            let encoded = Bytes::from_static(bytes);
            let key = EntryKey::decode(&encoded);
            assert!(matches!(key, EntryKey::Unknown { .. }), "{key:?}");
            assert_eq!(key.encode(), encoded);
        }
    }

    #[test]
    fn a_key_is_shown_without_escapes_of_a_terminal() {
        let key = EntryKey::Unknown { kind: EntryKind(900), key: Bytes::from_static(b"\x1b[31m") };
        assert_eq!(key.to_string(), "kind 900 \\u{1b}[31m");
        assert_eq!(function("1.2.0").to_string(), "shop.score 1.2.0");
    }
}
