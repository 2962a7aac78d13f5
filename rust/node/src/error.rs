use mpreg_types::{ErrorBody, ErrorCode, Executed};

/// Why an operation of a node or client failed; carries what the exception in Python is built from.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", body.message.as_str())]
pub struct NodeError {
    /// Code and message.
    pub body: Box<ErrorBody>,
    /// What is known of whether anything ran.
    pub executed: Executed,
}

impl NodeError {
    /// An error of `code` that says `message`; nothing ran.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { body: Box::new(ErrorBody::new(code, message)), executed: Executed::No }
    }

    /// Settings are wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Config, message)
    }

    /// No connection.
    pub fn connection_lost(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ConnectionLost, message)
    }
}

impl From<mpreg_types::NameError> for NodeError {
    fn from(error: mpreg_types::NameError) -> Self {
        Self::config(error.to_string())
    }
}
