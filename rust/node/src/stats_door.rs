//! Where calls to the builtin `mpreg.stats` come in: those of other nodes and clients from the switch, own ones from
//! their ports. The driver answers them as it answers a look.

use std::any::Any;
use std::sync::Arc;

use mpreg_routing::Slots;
use mpreg_types::{Builtin, ErrorBody, ErrorCode, Executed};
use tokio::sync::mpsc::UnboundedSender;

use crate::command::Command;
use crate::dispatch::{Dispatcher, Invocation, InvocationKey, Replies, Ticket};
use crate::error::NodeError;
use crate::functions::{FunctionSpec, LocalEntry};
use crate::mailbox::Mailbox;

/// Calls of own callers to builtins that are answered at once, at one time; further ones wait for their turn.
const OWN_MAX: u32 = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct StatsDoor {
    commands: UnboundedSender<Command>,
    slots: Arc<Slots>,
    nothing: Arc<()>,
}

impl StatsDoor {
    pub(crate) fn new(commands: UnboundedSender<Command>) -> Arc<Self> {
        Arc::new(Self { commands, slots: Arc::new(Slots::new(Some(OWN_MAX), None)), nothing: Arc::new(()) })
    }

    /// The builtin function as the ports of this process find it.
    pub(crate) fn entry(self: &Arc<Self>) -> Arc<LocalEntry> {
        let handler: Arc<dyn Any + Send + Sync> = self.nothing.clone();
        let spec = FunctionSpec::builtin(Builtin::Stats);
        Arc::new(LocalEntry { handler, dispatcher: self.clone(), slots: self.slots(), spec })
    }

    pub(crate) fn slots(&self) -> Arc<Slots> {
        self.slots.clone()
    }

    fn ask(&self, call: Invocation) {
        let ticket = call.ticket;
        // Whoever holds the command answers, also when the node ends.
        let command = Command::Stats(Box::new(move |answer| end(ticket, answer)));
        if let Err(refused) = self.commands.send(command)
            && let Command::Stats(end) = refused.0
        {
            end(Err(NodeError::connection_lost("the node has stopped")));
        }
    }
}

fn end(mut ticket: Ticket, answer: Result<bytes::Bytes, NodeError>) {
    let mut replies = Replies::default();
    match answer {
        Ok(stats) if ticket.begin(crate::runtime::now()) => ticket.succeed(stats.into(), &mut replies),
        Ok(_) => {
            let body = ErrorBody::new(ErrorCode::CancelledByPeer, "the caller gave up");
            ticket.fail(body, Executed::No, &mut replies);
        }
        Err(error) => ticket.fail(*error.body, Executed::No, &mut replies),
    }
    replies.flush();
}

impl Dispatcher for StatsDoor {
    fn deliver(&self, invocations: &mut Vec<Invocation>) {
        invocations.drain(..).for_each(|call| self.ask(call));
    }

    fn cancel(&self, _: InvocationKey) {}

    fn resume(&self, _: InvocationKey) {}

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        None
    }
}
