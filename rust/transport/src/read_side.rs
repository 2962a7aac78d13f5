use std::sync::Arc;

use parking_lot::Mutex;

use crate::reader::{Reader, Stop, Turn};
use crate::{Connection, FrameHandler};

/// The reading half of a connection and who takes what it reads: shared by the reading task and, while little goes
/// on, a thread that holds the connection's [`Lane`](crate::Lane).
pub(crate) struct ReadSide<H> {
    connection: Arc<Connection>,
    /// Locked before the handler.
    reader: Mutex<Reader>,
    handler: Arc<Mutex<H>>,
    /// A read in the lane was the last one: the task ends the connection.
    stopped: Mutex<Option<Stop>>,
}

/// What a lane needs of it, whoever the handler is.
pub(crate) trait ReadHere: Send + Sync {
    /// One small read on this thread: how many bytes came; none if the task is reading.
    fn read_here(&self) -> usize;

    /// Says the goodbye that the connection owes, unless somebody is reading.
    fn say_goodbye_here(&self);
}

impl<H: FrameHandler> ReadSide<H> {
    pub(crate) fn new(connection: Arc<Connection>, reader: Reader, handler: Arc<Mutex<H>>) -> Self {
        Self { connection, reader: Mutex::new(reader), handler, stopped: Mutex::new(None) }
    }

    /// For the task: reads and hands over until the kernel has no more or the turn is over.
    pub(crate) fn turn(&self) -> Result<Turn, Stop> {
        let mut reader = self.reader.lock();
        if let Some(stop) = self.stopped.lock().take() {
            return Err(stop);
        }
        let mut handler = self.handler.lock();
        if self.connection.takes_again() {
            handler.credit(&self.connection);
        }
        reader.turn(&mut *handler)
    }

    /// Says the goodbye that the connection owes.
    pub(crate) fn say_goodbye(&self) {
        self.with(Reader::say_goodbye);
        self.connection.flush();
    }

    /// Both halves, at the connection's beginning and end.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Reader, &mut H) -> T) -> T {
        let mut reader = self.reader.lock();
        work(&mut reader, &mut self.handler.lock())
    }
}

impl<H: FrameHandler> ReadHere for ReadSide<H> {
    fn read_here(&self) -> usize {
        let Some(mut reader) = self.reader.try_lock() else { return 0 };
        let mut stopped = self.stopped.lock();
        if !self.connection.is_open() || stopped.is_some() {
            return 0;
        }
        let read = reader.turn_here(&mut *self.handler.lock());
        read.unwrap_or_else(|stop| {
            *stopped = Some(stop);
            self.connection.attention.notify_one();
            0
        })
    }

    fn say_goodbye_here(&self) {
        if let (Some(mut reader), Some(mut handler)) = (self.reader.try_lock(), self.handler.try_lock()) {
            reader.say_goodbye(&mut *handler);
        }
    }
}
