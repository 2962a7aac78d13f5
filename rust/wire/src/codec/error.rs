use mpreg_types::NameError;

/// Why bytes are not the message they should be. Nothing was changed by reading them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A length or count says more than there are bytes left.
    #[error("the bytes end within {field}")]
    Truncated {
        /// What was being read.
        field: &'static str,
    },
    /// Bytes are left after the end.
    #[error("{bytes} bytes too many")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// Something else stands there.
    #[error("{field} does not begin with byte {marker:#04x}")]
    WrongType {
        /// What should stand there.
        field: &'static str,
        /// The byte that stands there.
        marker: u8,
    },
    /// Right type, impossible value.
    #[error("{value} is no {field}")]
    OutOfRange {
        /// What should stand there.
        field: &'static str,
        /// What stands there.
        value: u64,
    },
    /// More of something than allowed.
    #[error("{count} is too much for {field}: at most {max}")]
    TooMany {
        /// Of what.
        field: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// Containers within containers.
    #[error("nested deeper than {max} levels")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// Text that is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotText {
        /// What should stand there.
        field: &'static str,
    },
    /// A name, version or constraint that breaks its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// `MessagePack` in order, but not of the expected shape; from serde.
    #[error("not the expected message: {why}")]
    Shape {
        /// What serde says, shortened.
        why: String,
    },
}
