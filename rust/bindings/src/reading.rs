//! What has come of a stream and was not read yet.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use mpreg_node::{CallFailure, Taken};
use mpreg_types::{Payload, item_cost};
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::graph_events::Watched;
use crate::remote::Handle;

/// Filled by the drain of the loop that asked for the stream, emptied by whoever iterates there.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) what: What,
    state: Mutex<State>,
}

/// What is read.
#[derive(Debug)]
pub(crate) enum What {
    /// The items of a generator.
    Items(Arc<Handle>),
    /// What happens in a graph.
    Events(Box<Watched>),
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Payload>,
    taken: Taken,
    end: Option<End>,
    /// A future of the one who waits for more.
    waiter: Option<Py<PyAny>>,
}

/// How a stream ended.
#[derive(Debug)]
enum End {
    /// With this reply, which is not read yet.
    Now(Result<Payload, Box<CallFailure>>),
    /// That was read, or nobody reads.
    Over,
}

/// What there is to read.
pub(crate) enum Next {
    /// An item; its sender is to be told that so much was taken.
    Item(Payload, Option<u64>),
    /// The reply after the last item; told once.
    End(Result<Payload, Box<CallFailure>>),
    Over,
    Nothing,
}

impl Reading {
    pub(crate) fn new(what: What) -> Arc<Self> {
        Arc::new(Self { what, state: Mutex::default() })
    }

    pub(crate) fn next(&self) -> Next {
        let mut state = self.state.lock();
        if let Some(item) = state.items.pop_front() {
            let told = state.taken.add(item_cost(item.len() as u64));
            return Next::Item(item, told);
        }
        if state.end.is_none() {
            return Next::Nothing;
        }
        match state.end.replace(End::Over) {
            Some(End::Now(reply)) => Next::End(reply),
            _ => Next::Over,
        }
    }

    /// An item came. True: it is the first of those that somebody waits for.
    pub(crate) fn add(&self, item: Payload) -> bool {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return false;
        }
        state.items.push_back(item);
        state.items.len() == 1 && state.waiter.is_some()
    }

    /// All items have come.
    pub(crate) fn end(&self, reply: Result<Payload, Box<CallFailure>>) {
        self.state.lock().end.get_or_insert(End::Now(reply));
    }

    /// True if items are here.
    pub(crate) fn has_items(&self) -> bool {
        !self.state.lock().items.is_empty()
    }

    /// True if more may come, or is here and was not read.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.state.lock();
        state.end.is_none() || !state.items.is_empty()
    }

    /// Nobody reads any more. False: it had ended, at its sender or here.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state.lock();
        let items = mem::take(&mut state.items);
        let open = state.end.replace(End::Over).is_none();
        drop(state);
        drop(items);
        open
    }

    /// `future` is completed when there is more. False: somebody waits already.
    pub(crate) fn wait(&self, future: Py<PyAny>) -> bool {
        let mut state = self.state.lock();
        let free = state.waiter.is_none();
        if free {
            state.waiter = Some(future);
        }
        free
    }

    /// Whom to wake.
    pub(crate) fn take_waiter(&self) -> Option<Py<PyAny>> {
        self.state.lock().waiter.take()
    }
}
