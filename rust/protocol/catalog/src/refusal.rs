use mpreg_types::Incarnation;

/// Why something that another node sent was not taken. The state did not change in any of these cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The signed bytes are longer than any batch.
    #[error("the batch is longer than a batch can be")]
    Oversize,
    /// They were signed for another purpose or another version of this protocol.
    #[error("the signed bytes are no catalog batch")]
    WrongTag,
    /// They do not decode.
    #[error("the batch does not decode")]
    Malformed,
    /// Another cluster's batch.
    #[error("the batch belongs to another cluster")]
    WrongCluster,
    /// Signed with a key that is not the owner's.
    #[error("the batch is signed by another node than its owner")]
    WrongKey,
    /// Its version numbers contradict each other.
    #[error("the versions in the batch contradict each other")]
    BadVersions,
    /// The owner has restarted since.
    #[error("the batch is of an earlier start than {newest}")]
    StaleIncarnation {
        /// The start that is known.
        newest: Incarnation,
    },
    /// The owner is held for dead, and somebody else brought its log.
    #[error("the owner is down here, and a relay brought its batch")]
    OwnerDown,
    /// The owner has said goodbye.
    #[error("the owner has left")]
    OwnerLeft,
    /// Our own log, with a version or start that we never signed: another process has our key.
    #[error("the batch carries our own key but is not ours: another process signs with it")]
    NotOurs,
    /// More entries than one owner may have.
    #[error("the owner has more entries than allowed")]
    TooManyEntries,
    /// A longer entry than allowed.
    #[error("an entry is longer than allowed")]
    EntryTooLarge,
    /// More bytes of entries than one owner may have.
    #[error("the owner's entries take more bytes than allowed")]
    OwnerTooLarge,
    /// More resources than one entry may have.
    #[error("an entry has more resources than allowed")]
    TooManyResources,
    /// The owner lets its log grow without the snapshots it owes.
    #[error("the owner's log is longer than allowed")]
    LogTooLong,
    /// No room for another owner that membership does not know.
    #[error("too many owners are waiting for membership to know them")]
    TooManyUnknown,
    /// Batches came in without the proof that their signatures hold.
    #[error("batches came without their signatures being checked")]
    Unverified,
    /// More rows than one message may have.
    #[error("the message has more rows than allowed")]
    TooManyRows,
    /// A message from a node we hold no connection to.
    #[error("a message from a node that is not connected")]
    NotConnected,
}

impl Refusal {
    /// Its name in counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Oversize => "oversize",
            Self::WrongTag => "wrong_tag",
            Self::Malformed => "malformed",
            Self::WrongCluster => "wrong_cluster",
            Self::WrongKey => "wrong_key",
            Self::BadVersions => "bad_versions",
            Self::StaleIncarnation { .. } => "stale_incarnation",
            Self::OwnerDown => "owner_down",
            Self::OwnerLeft => "owner_left",
            Self::NotOurs => "not_ours",
            Self::TooManyEntries => "too_many_entries",
            Self::EntryTooLarge => "entry_too_large",
            Self::OwnerTooLarge => "owner_too_large",
            Self::TooManyResources => "too_many_resources",
            Self::LogTooLong => "log_too_long",
            Self::TooManyUnknown => "too_many_unknown",
            Self::Unverified => "unverified",
            Self::TooManyRows => "too_many_rows",
            Self::NotConnected => "not_connected",
        }
    }
}
