//! How the I/O thread hands work to a thread that runs Python: a locked queue and one wake-up per batch.

use std::fmt;
use std::sync::{Arc, Weak};

use mpreg_rpc::{CallKey, Goodbye};
use mpreg_types::{ConnectionId, ItemHead, Payload, ReplyHead, StreamId, Untaken};
use parking_lot::{Mutex, RwLock};

use crate::dispatch::{Invocation, InvocationKey};

/// Identity of a port within the process: the part of a call's token that says whose reply it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

/// What arrives for a thread that runs Python.
#[derive(Debug)]
pub enum Item {
    /// A reply to a call of this port.
    Reply {
        /// Whose.
        port: PortId,
        /// Where it came from.
        connection: ConnectionId,
        /// The call on that connection.
        stream: StreamId,
        /// What it says.
        head: ReplyHead,
        /// What it carries.
        value: Payload,
        /// Bytes of credit that go back once it was taken.
        wire_bytes: usize,
    },
    /// The result of a local call that ran on another thread.
    LocalReply {
        /// Whose.
        port: PortId,
        /// The call.
        key: CallKey,
        /// What it says.
        head: ReplyHead,
        /// What it carries.
        value: Payload,
    },
    /// An item of a stream that this port reads.
    StreamItem {
        /// Whose.
        port: PortId,
        /// Where it came from.
        connection: ConnectionId,
        /// The call on that connection.
        stream: StreamId,
        /// Which call, and how long.
        head: ItemHead,
        /// The item.
        value: Payload,
    },
    /// The same, from a function of this process.
    LocalItem {
        /// Whose.
        port: PortId,
        /// The call.
        key: CallKey,
        /// The item.
        value: Payload,
    },
    /// This call is running.
    Started {
        /// Whose.
        port: PortId,
        /// Who says so.
        connection: ConnectionId,
        /// The call's token.
        token: u64,
    },
    /// Something that concerns every port of the thread.
    News(News),
    /// The earliest deadline of this port may have passed.
    Tick {
        /// Whose.
        port: PortId,
    },
    /// A function to run.
    Invoke(Box<Invocation>),
    /// An invocation that nobody waits for any more.
    Cancel(InvocationKey),
    /// There is credit for the item that a stream waits with.
    Resume(InvocationKey),
    /// Something finished on the control thread.
    Done(Done),
}

impl Item {
    /// The one port it is for; `None` for news that concern every port of a thread.
    pub fn port(&self) -> Option<PortId> {
        match self {
            Self::Reply { port, .. }
            | Self::LocalReply { port, .. }
            | Self::StreamItem { port, .. }
            | Self::LocalItem { port, .. }
            | Self::Started { port, .. }
            | Self::Tick { port } => Some(*port),
            Self::News(_) | Self::Invoke(_) | Self::Cancel(_) | Self::Resume(_) | Self::Done(_) => None,
        }
    }

    /// The connection that a call or a reply came over (a step of a graph: what it follows from), and the length of its
    /// value.
    pub fn came_over(&self) -> Option<(ConnectionId, usize)> {
        match self {
            Self::Reply { connection, value, .. } | Self::StreamItem { connection, value, .. } => {
                Some((*connection, value.len()))
            }
            Self::Invoke(invocation) => Some((invocation.ticket.cause()?, invocation.value.len())),
            _ => None,
        }
    }
}

/// News that concern every port of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The other side of a connection takes no further call over it.
    Goodbye(ConnectionId, Goodbye),
    /// A connection is gone; calls on these own streams did not execute.
    Lost(ConnectionId, Untaken),
    /// Credit came back.
    Credit(ConnectionId),
    /// A routing snapshot or an entry connection changed, or a node or client closed.
    RouteChanged,
}

/// A finished operation of the control thread: run by the thread that asked.
pub struct Done {
    /// Which request.
    pub request: u64,
    /// How it went: encoded msgpack.
    pub result: Result<bytes::Bytes, crate::error::NodeError>,
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Done({}, ok={})", self.request, self.result.is_ok())
    }
}

/// Wakes the thread that drains a mailbox; called from any thread, never blocks, never touches Python.
pub trait Wake: Send + Sync {
    /// Makes the owner drain soon.
    fn wake(&self);

    /// True if every thread may do the owner's work.
    fn is_anybodys(&self) -> bool {
        false
    }

    /// Does the owner's work on this thread, if that can be at once; else the owner has to be woken.
    fn work_here(&self) -> bool {
        false
    }
}

/// A queue towards one thread that runs Python.
pub struct Mailbox {
    queue: Mutex<Queue>,
    waker: Box<dyn Wake>,
}

#[derive(Default)]
struct Queue {
    items: Vec<Item>,
    /// Those of them that are news.
    news: Vec<News>,
    /// A wake-up is on its way; kept under the lock, so none is lost.
    woken: bool,
    /// How often the owner has come.
    taken: u64,
    closed: bool,
}

impl Mailbox {
    /// An empty mailbox that calls `waker` when something arrives.
    pub fn new(waker: Box<dyn Wake>) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), waker })
    }

    /// Adds one item; false if the mailbox is closed (the item is dropped).
    pub fn push(&self, item: Item) -> bool {
        self.push_all(std::iter::once(item))
    }

    /// Adds a batch under one lock and one wake-up; false if the mailbox is closed.
    pub fn push_all(&self, items: impl IntoIterator<Item = Item>) -> bool {
        let wake = {
            let mut queue = self.queue.lock();
            if queue.closed {
                return false;
            }
            queue.items.extend(items);
            !std::mem::replace(&mut queue.woken, true)
        };
        if wake {
            self.waker.wake();
        }
        true
    }

    /// True if whoever leaves something here may do what is to be done with it.
    pub(crate) fn is_anybodys(&self) -> bool {
        self.waker.is_anybodys()
    }

    /// Adds one item and wakes nobody. True: who added it owes [`Self::see_to`].
    pub(crate) fn leave(&self, item: Item) -> bool {
        let mut queue = self.queue.lock();
        if queue.closed {
            return false;
        }
        queue.items.push(item);
        !std::mem::replace(&mut queue.woken, true)
    }

    /// Has what was left here worked on: at once on this thread, or `far` away by its owner. To be called without locks
    /// that a dispatcher takes.
    pub fn see_to(&self, far: bool) {
        if far || !self.waker.work_here() {
            self.waker.wake();
        }
    }

    /// Adds news, unless the same news wait already: who takes them looks at how things are then. So an owner that does
    /// not come finds no more than there is to tell.
    pub fn push_news(&self, news: &News) {
        let wake = {
            let mut queue = self.queue.lock();
            if queue.closed || queue.news.contains(news) {
                return;
            }
            queue.news.push(news.clone());
            queue.items.push(Item::News(news.clone()));
            !std::mem::replace(&mut queue.woken, true)
        };
        if wake {
            self.waker.wake();
        }
    }

    /// Has the owner drain, though nothing arrived for it.
    pub fn wake(&self) {
        self.push_all(std::iter::empty());
    }

    /// True if the owner was woken and has not come yet; and how often it came so far.
    pub fn progress(&self) -> (bool, u64) {
        let queue = self.queue.lock();
        (queue.woken, queue.taken)
    }

    /// The owner is about to drain, so what is pushed until [`Self::take`] needs no wake-up. True if one is on its way
    /// already.
    pub fn hold(&self) -> bool {
        std::mem::replace(&mut self.queue.lock().woken, true)
    }

    /// Swaps what has arrived into `items`, which must be empty; the next push wakes again.
    pub fn take(&self, items: &mut Vec<Item>) {
        let mut queue = self.queue.lock();
        queue.woken = false;
        queue.taken += 1;
        queue.news.clear();
        std::mem::swap(&mut queue.items, items);
    }

    /// Refuses everything from now on and returns what nobody took.
    pub fn close(&self) -> Vec<Item> {
        let mut queue = self.queue.lock();
        queue.closed = true;
        std::mem::take(&mut queue.items)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

/// Every port of the process and the mailbox it drains.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    ports: RwLock<Vec<Option<Weak<Mailbox>>>>,
}

impl Mailboxes {
    /// Most ports at one time: the number has 16 bits in a token.
    const PORTS_MAX: usize = 1 << 16;

    /// Gives `mailbox` the lowest free number; `None` if all are taken.
    pub(crate) fn open(&self, mailbox: &Arc<Mailbox>) -> Option<PortId> {
        let mut ports = self.ports.write();
        if ports.is_empty() {
            // The first number is the switch's: its place stays taken by nobody.
            ports.push(Some(Weak::new()));
        }
        let free = ports.iter().position(Option::is_none).unwrap_or(ports.len());
        if free >= Self::PORTS_MAX {
            return None;
        }
        if free == ports.len() {
            ports.push(None);
        }
        ports[free] = Some(Arc::downgrade(mailbox));
        u16::try_from(free).ok().map(PortId)
    }

    pub(crate) fn close(&self, port: PortId) {
        if let Some(slot) = self.ports.write().get_mut(usize::from(port.0)) {
            *slot = None;
        }
    }

    pub(crate) fn find(&self, port: PortId) -> Option<Arc<Mailbox>> {
        self.ports.read().get(usize::from(port.0))?.as_ref()?.upgrade()
    }

    /// Tells every mailbox once, however many ports it drains.
    pub(crate) fn tell_all(&self, news: &News) {
        let mut told: Vec<Arc<Mailbox>> = Vec::new();
        for mailbox in self.ports.read().iter().flatten().filter_map(Weak::upgrade) {
            if !told.iter().any(|other| Arc::ptr_eq(other, &mailbox)) {
                mailbox.push_news(news);
                told.push(mailbox);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(&self) {}
    }

    #[test]
    fn an_owner_that_does_not_come_finds_the_same_news_once() {
        let mailbox = Mailbox::new(Box::new(Nobody));
        let news = [News::RouteChanged, News::Credit(ConnectionId(1)), News::Credit(ConnectionId(2))];
        let taken = || {
            let mut items = Vec::new();
            mailbox.take(&mut items);
            items.len()
        };
        (0..1000).for_each(|_| news.iter().for_each(|news| mailbox.push_news(news)));
        assert_eq!(taken(), news.len());
        mailbox.push_news(&News::RouteChanged);
        assert_eq!(taken(), 1, "what comes after it was there is new");
    }
}
