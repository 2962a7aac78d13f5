use crate::{EntryKey, EntryKind};

/// Why an own change was not made, or a catalog not built. The state did not change in any of these cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// This owner has as many entries as it may; nothing changed.
    #[error(
        "this node offers {limit} entries already, the most there may be: remove some or start another node"
    )]
    TooManyEntries {
        /// `Config::entries_max`.
        limit: usize,
    },
    /// Key and value together are too long; nothing changed.
    #[error("the entry {key} takes {bytes} bytes and may take {limit}: shorten its doc, signature or tags")]
    EntryTooLarge {
        /// Which entry.
        key: EntryKey,
        /// Its size.
        bytes: usize,
        /// `Config::entry_bytes_max`.
        limit: usize,
    },
    /// All entries of this owner together are too long; nothing changed.
    #[error("with {key} the entries of this node take {bytes} bytes and may take {limit}")]
    OwnerTooLarge {
        /// The entry that would be too much.
        key: EntryKey,
        /// Size of all, with it.
        bytes: usize,
        /// `Config::owner_bytes_max`.
        limit: usize,
    },
    /// The entry names too many resources; nothing changed.
    #[error("the entry {key} has {count} resources and may have {limit}")]
    TooManyResources {
        /// Which entry.
        key: EntryKey,
        /// How many it names.
        count: usize,
        /// `Config::resources_max`.
        limit: usize,
    },
    /// A function with scope `local` never enters a log; nothing changed.
    #[error("{key} has scope local: it is offered inside its node only and has no place in the catalog")]
    LocalScope {
        /// Which entry.
        key: EntryKey,
    },
    /// This owner has no such entry; nothing changed.
    #[error("this node does not offer {key}")]
    NotOffered {
        /// What was asked for.
        key: EntryKey,
    },
    /// The value did not encode; nothing changed.
    #[error("the {kind:?} entry does not encode: {why}")]
    DoesNotEncode {
        /// Kind of the entry.
        kind: EntryKind,
        /// What the encoder says.
        why: String,
    },
    /// Two fields of the configuration contradict each other; no catalog was built.
    #[error("catalog configuration: {what}")]
    BadConfig {
        /// The relation that is broken.
        what: &'static str,
    },
    /// The signer's key does not belong to the node it is to sign for; no catalog was built.
    #[error("the signer's key belongs to another node")]
    ForeignSigner,
}
