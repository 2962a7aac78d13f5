//! From an admitted call to whoever runs it: a dispatcher of this process, or the desk.

use std::sync::Arc;

use mpreg_types::{Builtin, CallHead, Executed, Time};

use super::{Link, SwitchIo};
use crate::dispatch::{Dispatcher, Invocation, Origin, Replies, Stages, Ticket};

impl SwitchIo {
    pub(super) fn invoke(&mut self, call: mpreg_rpc::Invocation, now: Time) {
        let Some(link) = self.links.get(&call.from) else { return };
        let slot = call.key.slot();
        let invoked = (call.key, call.claim, call.running, call.gate);
        let entry = self.shared.functions.find(call.function);
        let threaded = entry.as_ref().is_some_and(|entry| entry.spec.threaded);
        let ticket = Ticket::remote(
            link.connection.clone(),
            call.stream,
            call.head.token,
            invoked,
            Stages::new(call.arrived, now, threaded),
            self.shared.inbound.clone(),
            call.head.extras.as_ref().is_some_and(|extras| extras.tell_node),
        );
        let origin = origin_of(&call.head, link);
        if let Some(builtin) = Builtin::of_handle(call.function) {
            let door: Arc<dyn Dispatcher> = self.shared.graph_door.clone();
            self.assigned.assign(slot, &door);
            let (handler, peer) = (self.shared.graph_door.handler(), link.connection.peer().node);
            let mpreg_rpc::Invocation { head, deadline, value, .. } = call;
            let invocation = Invocation { origin, handler, head, deadline, value, ticket };
            return self.desk.serve(builtin, invocation, peer, now);
        }
        let Some(entry) = entry else {
            let mut replies = Replies::default();
            ticket.fail(crate::functions::removed(), Executed::No, &mut replies);
            return replies.flush();
        };
        self.assigned.assign(slot, &entry.dispatcher);
        let step = call.head.extras.as_ref().and_then(|extras| extras.step.as_ref());
        let ticket =
            ticket.keeping(step.and_then(|step| self.shared.keep(step, call.arrived, entry.spec.idempotent)));
        let invocation = Invocation {
            handler: entry.handler.clone(),
            origin,
            head: call.head,
            deadline: call.deadline,
            value: call.value,
            ticket,
        };
        let same =
            |batch: &&mut (Arc<dyn Dispatcher>, Vec<Invocation>)| Arc::ptr_eq(&batch.0, &entry.dispatcher);
        match self.deliveries.iter_mut().find(same) {
            Some((_, batch)) => batch.push(invocation),
            None => self.deliveries.push((entry.dispatcher.clone(), vec![invocation])),
        }
    }
}

/// Who called: the client that an entry node names, or the peer itself.
fn origin_of(head: &CallHead, link: &Link) -> Arc<Origin> {
    match head.extras.as_ref().and_then(|extras| extras.client.as_ref()) {
        Some(client) => {
            let cluster = link.origin.cluster.clone();
            Arc::new(Origin { caller: format!("{cluster}/{client}"), cluster })
        }
        None => link.origin.clone(),
    }
}
