//! One thread that calls: its mailbox, its port, and waiting for what becomes true.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mpreg_node::{CallFailure, Item, Mailbox, Node, Outgoing, Port, Wake, now};
use mpreg_types::{FunctionName, Payload, PreparedTarget, Selector, Target, Wanted};

/// Far beyond what any step takes; a test that hangs fails by it.
pub(crate) const SOON: Duration = Duration::from_secs(20);

struct Bell(Sender<()>);

impl Wake for Bell {
    fn wake(&self) {
        // A line that is gone has nobody to wake.
        let _ = self.0.send(());
    }
}

/// See the module.
pub(crate) struct Line {
    port: Port,
    mailbox: Arc<Mailbox>,
    bell: Receiver<()>,
}

impl Line {
    pub(crate) fn to(node: &Node) -> Self {
        let (ring, bell) = channel();
        let mailbox = Mailbox::new(Box::new(Bell(ring)));
        let port = Port::open(&node.caller(), &mailbox).unwrap();
        Self { port, mailbox, bell }
    }

    /// Calls `name` and waits for the end of it.
    pub(crate) fn call(&mut self, name: &str) -> Result<Payload, Box<CallFailure>> {
        let name = FunctionName::parse(name).unwrap();
        let call = Outgoing {
            stream: false,
            target: Arc::new(PreparedTarget::new(Target::Select(Selector::new(Wanted::Name(name))))),
            deadline: now() + SOON,
            retries: 0,
            idempotent: false,
            max_hops: None,
            extras: None,
        };
        self.send(call, Bytes::from_static(&[0x90]).into())
    }

    /// Makes `call` and waits for the end of it.
    pub(crate) fn send(&mut self, call: Outgoing, value: Payload) -> Result<Payload, Box<CallFailure>> {
        let key = self.port.begin(call, value, now());
        self.port.flush();
        loop {
            if let Some(ended) = self.port.take_completions().into_iter().find(|ended| ended.key == key) {
                return ended.result;
            }
            self.turn("the end of a call", Instant::now() + SOON);
        }
    }

    /// Waits for `condition`, which routes or connections make true: every change of them wakes this thread.
    pub(crate) fn until(&mut self, what: &str, condition: impl Fn() -> bool) {
        let give_up = Instant::now() + SOON;
        while !condition() {
            self.turn(what, give_up);
        }
    }

    fn turn(&mut self, what: &str, give_up: Instant) {
        let left = give_up.saturating_duration_since(Instant::now());
        assert!(self.bell.recv_timeout(left).is_ok(), "{what} did not come within {SOON:?}");
        let mut items = Vec::new();
        self.mailbox.take(&mut items);
        for item in items {
            match item {
                Item::News(news) => self.port.hear(&news),
                item => self.port.handle(item, now()),
            }
        }
        self.port.arm(now());
        self.port.flush();
    }
}
