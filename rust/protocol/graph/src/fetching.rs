//! Results on their way from who holds them to who needs them.

use mpreg_types::{
    Builtin, ErrorBody, ErrorCode, Fetch, FunctionVersion, GraphId, HeldInput, Incarnation, InputFailure,
    NodeId, Payload, Target, Time,
};

use crate::desk_port::{Cargo, DeskCall, RELEASE_TIMEOUT};
use crate::project::project;
use crate::results::FetchRefused;

/// Attempts beyond the first: asking again does no harm.
const RETRIES: u8 = 2;

/// Which held result a call fetches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    holder: NodeId,
    result: u64,
}

impl Wanted {
    pub(crate) fn of(input: &HeldInput) -> Self {
        Self { holder: input.grant.holder, result: input.grant.result }
    }

    /// The error of a result that is gone with its holder.
    pub(crate) fn gone(self) -> Box<ErrorBody> {
        let lost = InputFailure { holder: self.holder, result: self.result, cause: None };
        Box::new(input_lost(&lost, "the node that holds an input of the step is gone"))
    }

    /// A fetch that failed, as the coordinator reads it: the holder has said what is wrong, or there is no way to it.
    pub(crate) fn lost(self, failed: ErrorBody) -> Box<ErrorBody> {
        match failed.code {
            ErrorCode::ConnectionLost
            | ErrorCode::NoRoute
            | ErrorCode::WrongIncarnation
            | ErrorCode::Draining
            | ErrorCode::CancelledByPeer => self.gone(),
            _ => Box::new(failed),
        }
    }
}

/// What the holder, `me`, answers to a fetch: the part of the result, cut out here, or why it is not to be had.
pub fn part_of(
    me: NodeId,
    wanted: &Fetch,
    found: Result<Payload, FetchRefused>,
) -> Result<Payload, Box<ErrorBody>> {
    let about = |cause| InputFailure { holder: me, result: wanted.result, cause };
    let whole = found.map_err(|refused| {
        let text = refused.to_string();
        Box::new(match refused {
            FetchRefused::Gone => input_lost(&about(None), &text),
            FetchRefused::NotGranted => ErrorBody::new(ErrorCode::PermissionDenied, text),
        })
    })?;
    project(&whole, &wanted.path).map_err(|missing| {
        let text = missing.to_string();
        Box::new(input_lost(&about(Some(Box::new(missing.body()))), &text))
    })
}

/// What is asked of a holder.
pub(crate) fn fetch(graph: GraphId, input: &HeldInput) -> Fetch {
    let HeldInput { grant, path, .. } = input;
    Fetch { graph, result: grant.result, proof: grant.proof, path: path.clone() }
}

/// The call that fetches an input.
pub(crate) fn request(graph: GraphId, input: &HeldInput, deadline: Time) -> DeskCall {
    let HeldInput { grant, .. } = input;
    let cargo = Cargo::Fetch(fetch(graph, input));
    to_builtin(Builtin::Result, grant.holder, grant.incarnation, deadline, cargo)
}

/// The call that tells a holder that a graph has ended.
pub(crate) fn release(graph: GraphId, holder: NodeId, incarnation: Incarnation, now: Time) -> DeskCall {
    to_builtin(Builtin::Free, holder, incarnation, now + RELEASE_TIMEOUT, Cargo::Free(graph))
}

fn to_builtin(
    builtin: Builtin,
    node: NodeId,
    incarnation: Incarnation,
    deadline: Time,
    cargo: Cargo,
) -> DeskCall {
    let (function, version) = (builtin.id(), FunctionVersion::ONE);
    DeskCall {
        target: Target::Direct { node, incarnation, function, version },
        deadline,
        retries: RETRIES,
        idempotent: true,
        max_hops: None,
        extras: None,
        cargo,
    }
}

fn input_lost(lost: &InputFailure, text: &str) -> ErrorBody {
    let mut body = ErrorBody::new(ErrorCode::ResultLost, text);
    // Without the data it is an error of the step.
    body.data = rmp_serde::to_vec_named(lost).ok().map(Into::into);
    body
}
