//! Calls to what every node has and no catalog lists.

use std::sync::Arc;

use mpreg_routing::{Candidate, LocalFunction, Slots};
use mpreg_types::{Builtin, ErrorBody, ErrorCode, FunctionId};

use crate::Switch;
use crate::key::Index;
use crate::switch::Step;

/// How many calls of them may run.
#[derive(Debug)]
pub(crate) struct Builtins {
    graphs: Arc<Slots>,
    /// Graphs wait for fetches, here and elsewhere, so these never wait for a graph.
    among_nodes: Arc<Slots>,
    short: Arc<Slots>,
}

/// Calls of those that are answered at once; who makes more at one time waits.
const SHORT_MAX: u32 = 1024;

impl Builtins {
    /// `graphs` of them at one time.
    pub(crate) fn new(graphs: u32) -> Self {
        Self {
            graphs: Arc::new(Slots::new(Some(graphs), None)),
            among_nodes: Arc::new(Slots::new(None, None)),
            short: Arc::new(Slots::new(Some(SHORT_MAX), None)),
        }
    }

    fn slots(&self, builtin: Builtin) -> &Arc<Slots> {
        match builtin {
            Builtin::Graph | Builtin::Events => &self.graphs,
            Builtin::Result | Builtin::Free => &self.among_nodes,
            Builtin::Stats | Builtin::Echo => &self.short,
        }
    }
}

impl Switch {
    /// A call to a builtin function: of a client only to those that are for clients.
    pub(crate) fn place_builtin(&mut self, index: Index, function: &FunctionId, step: &mut Step<'_>) {
        let from = self.calls.get(index).and_then(|call| self.peers.get(&call.from));
        let from_member = from.is_some_and(|link| link.peer.is_member());
        let builtin = Builtin::find(function).filter(|builtin| builtin.is_for_clients() || from_member);
        let Some(builtin) = builtin else {
            let text =
                format!("no builtin function {function} for this caller; is its version of mpreg newer?");
            return self.refuse(index, ErrorBody::new(ErrorCode::FunctionNotFound, text), step);
        };
        if let Some(call) = self.calls.get_mut(index).filter(|_| builtin.is_streaming()) {
            call.flow.limit = Some(call.deadline);
        }
        let local = LocalFunction { handle: builtin.handle(), slots: self.builtins.slots(builtin).clone() };
        let candidate = Candidate::builtin(builtin, self.snapshot.own().clone(), Some(local));
        self.admit(index, Arc::new(candidate), step);
    }
}
