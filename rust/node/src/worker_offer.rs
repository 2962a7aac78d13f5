//! What a worker tells its parent of itself and the functions it offers: questions like those of a client, with these verbs.

use mpreg_types::{ForeignText, FunctionName, FunctionVersion};
use serde::{Deserialize, Serialize};

use crate::functions::FunctionSpec;

/// All verbs of workers begin with it.
pub(crate) const PREFIX: &str = "worker.";
/// It runs calls of a function from now on: an [`Offer`].
pub(crate) const OFFER: &str = "worker.offer";
/// It takes no new call of a function: a [`Withdrawal`].
pub(crate) const WITHDRAW: &str = "worker.withdraw";
/// It takes no new call of any function; answered when the calls that it has got, or will still get, have ended.
pub(crate) const LEAVE: &str = "worker.leave";
/// Its loop is stuck, or is so no longer: a [`Busy`].
pub(crate) const BUSY: &str = "worker.busy";

/// See [`OFFER`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// Which worker it is, from 1 on.
    pub(crate) number: u32,
    /// The function.
    pub(crate) spec: FunctionSpec,
}

/// See [`WITHDRAW`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Withdrawal {
    pub(crate) name: FunctionName,
    pub(crate) version: FunctionVersion,
}

/// See [`BUSY`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Busy {
    /// Which worker it is, from 1 on.
    pub(crate) number: u32,
    /// What it stands at.
    pub(crate) stack: Option<ForeignText>,
}
