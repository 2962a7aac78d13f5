use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{ErrorCode, ForeignText};

/// The payload of an error reply: everything the exception at the caller is built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub code: ErrorCode,
    /// One sentence for people; says what to do next.
    pub message: ForeignText,
    /// Who says so, as users see it: `cluster/name/instance`. Set by the node where the function lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<ForeignText>,
    /// `module.Class` of the exception that a handler raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_name: Option<ForeignText>,
    /// Nearest builtin exception (`ValueError`) that the caller's exception also is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<ForeignText>,
    /// Names of the classes, nearest first, that the function declared with `raises=`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raises: Vec<ForeignText>,
    /// The handler's traceback as text; only within the callee's cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceback: Option<ForeignText>,
    /// The exception's own data as an encoded value (its `args`), opaque to Rust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Bytes>,
}

impl ErrorBody {
    /// An error of the mesh itself.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: ForeignText::new(message),
            node: None,
            type_name: None,
            base: None,
            raises: Vec::new(),
            traceback: None,
            data: None,
        }
    }
}
