//! Where calls to the builtin `mpreg.echo` come in: answered at once with their own arguments, by whichever thread brings
//! them. What such a call takes is the mesh's part of every call.

use std::any::Any;
use std::sync::Arc;

use mpreg_routing::Slots;
use mpreg_types::{Builtin, ErrorBody, ErrorCode, Executed};

use crate::dispatch::{Dispatcher, Invocation, InvocationKey, Replies};
use crate::functions::{FunctionSpec, LocalEntry};
use crate::mailbox::Mailbox;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EchoDoor;

impl EchoDoor {
    /// The builtin function as the ports of this process find it.
    pub(crate) fn entry(slots: Arc<Slots>) -> Arc<LocalEntry> {
        let handler: Arc<dyn Any + Send + Sync> = Arc::new(());
        let spec = FunctionSpec::builtin(Builtin::Echo);
        Arc::new(LocalEntry { handler, dispatcher: Arc::new(Self), slots, spec })
    }

    /// Answers one call; the answer goes with the next flush.
    pub(crate) fn answer(call: Invocation, replies: &mut Replies) {
        let Invocation { value, mut ticket, .. } = call;
        if ticket.begin(crate::runtime::now()) {
            return ticket.succeed(value, replies);
        }
        let body = ErrorBody::new(ErrorCode::CancelledByPeer, "the caller gave up");
        ticket.fail(body, Executed::No, replies);
    }
}

impl Dispatcher for EchoDoor {
    fn deliver(&self, invocations: &mut Vec<Invocation>) {
        let mut replies = Replies::default();
        for call in invocations.drain(..) {
            Self::answer(call, &mut replies);
        }
        replies.flush();
    }

    fn cancel(&self, _: InvocationKey) {}

    fn resume(&self, _: InvocationKey) {}

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        None
    }
}
