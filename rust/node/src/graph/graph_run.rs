use std::collections::BTreeMap;
use std::sync::Arc;

use mpreg_graph::{HeldPart, Order, Run, StepDone, StepFailed, StepValue, open_grant};
use mpreg_rpc::CallKey;
use mpreg_types::{
    CallExtras, ErrorBody, ErrorCode, Executed, ForeignText, GraphAnswer, GraphFailure, GraphId, HeldInput,
    Payload, PreparedTarget, StepCall, Target, Time,
};
use mpreg_wire::message;

use super::fetching::Wanted;
use super::{desk, value};
use crate::dispatch::{Invocation, InvocationKey, Replies, Ticket};
use crate::port::{Completion, Outgoing};

/// What a call of the desk is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A step.
    Step { run: u64, step: u32 },
    /// A wanted value that its maker holds.
    Wanted { run: u64, wanted: u32, what: Wanted },
    /// An input of a step that runs here.
    Input { gathering: u64, input: usize, what: Wanted },
    /// The end of a graph, told to a holder; whether it heard changes nothing.
    Free,
}

/// A graph that this node coordinates.
pub(crate) struct GraphRun {
    pub(crate) id: GraphId,
    pub(crate) run: Run,
    pub(crate) deadline: Time,
    /// Steps under way.
    pub(crate) called: BTreeMap<u32, CallKey>,
    /// What all steps carry of the caller's.
    extras: CallExtras,
    key: InvocationKey,
    ticket: Option<Ticket>,
}

impl GraphRun {
    /// Reads and checks the graph that `call` carries; if it is none, its ticket and why.
    pub(crate) fn new(id: GraphId, call: Invocation, now: Time) -> Result<Self, Box<(Ticket, ErrorBody)>> {
        let Invocation { head, deadline, value, mut ticket, .. } = call;
        let plan = match desk::plan(&value) {
            Ok(plan) => plan,
            Err(body) => return Err(Box::new((ticket, *body))),
        };
        if !ticket.begin(now) {
            let body =
                ErrorBody::new(ErrorCode::CancelledByPeer, "the caller gave up before the graph could start");
            return Err(Box::new((ticket, body)));
        }
        let asked = head.extras.map(|extras| *extras).unwrap_or_default();
        let extras = CallExtras {
            client: asked.client,
            trace: asked.trace,
            metadata: asked.metadata,
            ..CallExtras::default()
        };
        let (run, called, key) = (Run::new(plan, now), BTreeMap::new(), ticket.key());
        Ok(Self { id, run, deadline, called, extras, key, ticket: Some(ticket) })
    }

    /// The call that brought it.
    pub(crate) fn key(&self) -> InvocationKey {
        self.key
    }

    /// True once its caller has the answer.
    pub(crate) fn is_answered(&self) -> bool {
        self.ticket.is_none()
    }

    /// The call of a step.
    pub(crate) fn step_call(
        &self,
        step: u32,
        held: Vec<HeldPart>,
        keep: bool,
        now: Time,
    ) -> Option<Outgoing> {
        let step = self.run.step(step)?;
        let input =
            |part: HeldPart| HeldInput { at: part.at, grant: open_grant(&part.held), path: part.path };
        let inputs: Vec<HeldInput> = held.into_iter().map(input).collect();
        let special = keep || !inputs.is_empty();
        let extras = CallExtras {
            metadata: step.metadata.clone().or_else(|| self.extras.metadata.clone()),
            step: special.then(|| Box::new(StepCall { graph: self.id, keep, inputs })),
            ..self.extras.clone()
        };
        let own = step.timeout.map_or(self.deadline, |timeout| now + timeout);
        Some(Outgoing {
            target: Arc::new(PreparedTarget::new(Target::Select(step.target.clone()))),
            deadline: own.min(self.deadline),
            retries: step.retries,
            idempotent: false,
            stream: false,
            max_hops: step.max_hops,
            extras: Some(Box::new(extras)),
        })
    }

    /// A step's call has ended.
    pub(crate) fn step_ended(
        &mut self,
        step: u32,
        completion: Completion,
        node: Option<String>,
        now: Time,
        out: &mut Vec<Order>,
    ) {
        self.called.remove(&step);
        let node = node.map(ForeignText::new);
        match completion.result {
            Ok(value) => {
                let held = completion.extras.and_then(|extras| extras.held);
                let value = held.map_or(StepValue::Inline(value), |held| StepValue::Held(*held));
                let done = StepDone { value, node: node.unwrap_or_default() };
                self.run.returned(step, done, now, out);
            }
            Err(failure) => {
                let failed = StepFailed {
                    body: failure.body,
                    executed: failure.executed,
                    node,
                    attempts: failure.attempts,
                };
                self.run.failed(step, failed, now, out);
            }
        }
    }

    /// A wanted value came from its maker, or was lost with it.
    pub(crate) fn wanted_came(
        &mut self,
        wanted: u32,
        outcome: Result<Payload, Box<ErrorBody>>,
        now: Time,
        out: &mut Vec<Order>,
    ) {
        match outcome {
            Ok(value) => self.run.fetched(wanted, value, now, out),
            Err(body) => {
                let failed = StepFailed { body: *body, executed: Executed::Yes, node: None, attempts: 1 };
                self.run.not_fetched(wanted, failed, now, out);
            }
        }
    }

    /// Tells the caller how it ended.
    pub(crate) fn answer(
        &mut self,
        outcome: Result<(GraphAnswer, Vec<Payload>), Box<GraphFailure>>,
        replies: &mut Replies,
    ) {
        let Some(ticket) = self.ticket.take() else { return };
        match outcome {
            Ok((answer, values)) => ticket.succeed(value::encode_answer(&answer, values), replies),
            Err(failure) => {
                let mut body = ErrorBody::new(ErrorCode::Graph, sentence(&failure));
                body.data = Some(message::encode(&*failure).into());
                ticket.fail(body, failure.executed, replies);
            }
        }
    }
}

fn sentence(failure: &GraphFailure) -> String {
    let GraphFailure { name, cause, node, .. } = failure;
    if failure.step.is_none() {
        return cause.message.as_str().to_owned();
    }
    let place = node.as_ref().map_or(String::new(), |node| format!(" on {}", node.as_str()));
    format!("step {}{place} failed: {}", name.as_str(), cause.message.as_str())
}
