//! Answers to clients' looks on their way: one may be longer than the queue of a connection, and leaves in parts as the
//! client takes them.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mpreg_transport::{CloseReason, Connection, Goodbye, SendError};
use mpreg_types::StreamId;
use tokio::time::Instant;

use crate::error::NodeError;
use crate::look::encode_answer;

/// Bytes of answers that wait for their clients, per node.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// How often an answer that waits looks for room.
const ROOM_POLL: Duration = Duration::from_millis(5);
/// A client that takes nothing of its answer for so long is closed.
const TAKE_MAX: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct LookReplies {
    /// Bytes of answers that wait for room.
    waiting: Rc<Cell<usize>>,
}

impl LookReplies {
    /// Sends the answer to the look `token`, now or as soon as the client takes it.
    pub(super) fn send(&self, to: Arc<Connection>, token: StreamId, answer: Result<Bytes, NodeError>) {
        let mut parts = encode_answer(answer);
        match append(&to, token, &mut parts) {
            Ok(()) => return to.flush(),
            Err(SendError::ControlFull) => {}
            // A connection that is closed has nobody who waits.
            Err(_) => return,
        }
        let bytes = parts.iter().map(Vec::len).sum::<usize>();
        if self.waiting.get() + bytes > WAITING_BYTES_MAX {
            let why = Goodbye::new(CloseReason::Overloaded, "too many long answers wait to be taken");
            return to.close(why);
        }
        let waiting = Waiting::new(&self.waiting, bytes);
        tokio::task::spawn_local(async move {
            send_slowly(&to, token, parts).await;
            drop(waiting);
        });
    }
}

/// Appends as many parts as there is room for, and takes them out.
fn append(to: &Connection, token: StreamId, parts: &mut Vec<Vec<u8>>) -> Result<(), SendError> {
    let mut count = 0;
    let outcome = parts.iter().try_for_each(|part| {
        to.send_look_reply(token, part)?;
        count += 1;
        Ok(())
    });
    parts.drain(..count);
    outcome
}

async fn send_slowly(to: &Connection, token: StreamId, mut parts: Vec<Vec<u8>>) {
    let mut give_up = Instant::now() + TAKE_MAX;
    loop {
        to.flush();
        let before = parts.len();
        match append(to, token, &mut parts) {
            Ok(()) => return to.flush(),
            Err(SendError::ControlFull) if parts.len() < before => give_up = Instant::now() + TAKE_MAX,
            Err(SendError::ControlFull) if Instant::now() < give_up => {}
            Err(SendError::ControlFull) => {
                return to.close(Goodbye::new(CloseReason::Overloaded, "it does not take its answers"));
            }
            Err(_) => return,
        }
        tokio::time::sleep(ROOM_POLL).await;
    }
}

/// A share of the bytes that wait.
struct Waiting {
    all: Rc<Cell<usize>>,
    bytes: usize,
}

impl Waiting {
    fn new(all: &Rc<Cell<usize>>, bytes: usize) -> Self {
        all.set(all.get() + bytes);
        Self { all: all.clone(), bytes }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.bytes);
    }
}
