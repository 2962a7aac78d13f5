//! How an operation of the control thread reports its end to the thread that asked.

use std::sync::Arc;

use bytes::Bytes;
use mpreg_node::{Done, Item, Mailbox, NodeError};
use pyo3::prelude::*;

use crate::plain;

/// Makes the Python value of an operation's encoded result.
pub(crate) type Finish = Box<dyn FnOnce(Python<'_>, Bytes) -> PyResult<Py<PyAny>> + Send>;

/// The result as it is.
pub(crate) fn decoded() -> Finish {
    Box::new(|py, encoded| plain::decode(py, encoded).map(Bound::unbind))
}

/// Where one operation reports its end.
#[derive(Debug)]
pub(crate) struct Report {
    mailbox: Arc<Mailbox>,
    request: u64,
}

impl Report {
    pub(crate) fn new(mailbox: Arc<Mailbox>, request: u64) -> Self {
        Self { mailbox, request }
    }

    /// What the operation calls at its end, on whatever thread.
    pub(crate) fn into_callback(self) -> Box<dyn FnOnce(Result<Bytes, NodeError>) + Send> {
        Box::new(move |result| {
            self.mailbox.push(Item::Done(Done { request: self.request, result }));
        })
    }
}
