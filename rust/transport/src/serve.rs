use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use crate::outbox::Phase;
use crate::read_side::{ReadHere, ReadSide};
use crate::reader::{Reader, Stop, Turn};
use crate::{Connection, FrameHandler, Lost, LostCause};

/// How long an orderly close waits for credit, for what was sent before.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the kernel may take to take the goodbye.
const SAY_TIMEOUT: Duration = Duration::from_millis(100);
/// How long the peer is listened to after the goodbye, so that it reads that and not a reset.
const LINGER_TIMEOUT: Duration = Duration::from_millis(250);
/// The lane of a connection is over when nothing was read in it for this long: either nothing comes, or its holder is
/// busy with something else and what came waits.
const LANE_TIME: Duration = Duration::from_millis(5);
/// Turns for what the kernel still has of a peer that is gone; each is some 100 KiB.
const LAST_TURNS_MAX: usize = 64;

/// The reading task of a connection, from its first frame to what is known at its end.
pub(crate) async fn serve<H: FrameHandler>(ending: Ending, buffer: BytesMut, handler: Arc<Mutex<H>>) {
    let connection = ending.0.clone();
    let reader = Reader::new(connection.clone(), buffer);
    let read_side = Arc::new(ReadSide::new(connection.clone(), reader, handler));
    read_side.with(|_, handler| handler.opened(&connection));
    let shared: Arc<dyn ReadHere> = read_side.clone();
    connection.read_by(Arc::downgrade(&shared));
    drop(shared);
    read(&connection, &read_side).await;
    let lost = end(&connection, &read_side).await;
    connection.counters.ended_by(&lost.cause);
    tracing::debug!(?connection, cause = %lost.cause, "connection ended");
    let said_goodbye = matches!(lost.cause, LostCause::Closed(_) | LostCause::Protocol(_));
    let window = connection.limits.connection_window;
    read_side.with(|reader, handler| {
        reader.finish(handler);
        handler.closed(&connection, lost);
        handler.batch_end();
    });
    if said_goodbye && connection.link.shutdown_write().is_ok() {
        // Running out of time is as good as the peer's end.
        drop(timeout(LINGER_TIMEOUT, linger(&connection, &read_side, window)).await);
    }
}

/// Ends the connection with its reading task, even when that ends early because its runtime does: nobody may go on
/// sending into it, and the peer hears of it although other threads still hold the connection.
pub(crate) struct Ending(pub(crate) Arc<Connection>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended(LostCause::Broken(ErrorKind::Interrupted));
        self.0.link.shutdown();
    }
}

/// Reads until there is nothing more to read, or nothing more to say.
async fn read<H: FrameHandler>(connection: &Connection, read_side: &ReadSide<H>) {
    let mut close_by = None;
    loop {
        if connection.owes_goodbye() {
            read_side.say_goodbye();
        }
        if connection.has_said_all() {
            return;
        }
        if !connection.is_open() {
            let close_by = *close_by.get_or_insert_with(|| Instant::now() + CLOSE_TIMEOUT);
            if Instant::now() >= close_by {
                return;
            }
        }
        match read_side.turn() {
            Ok(Turn::More) => {
                tokio::task::yield_now().await;
                continue;
            }
            Ok(Turn::Drained) => {}
            Err(stop) => return stopped(connection, stop),
        }
        match leave_to_lane(connection).await {
            Ok(false) => {}
            // Much may have happened meanwhile.
            Ok(true) => continue,
            Err(error) => return connection.ended(LostCause::Broken(error.kind())),
        }
        tokio::select! {
            ready = connection.link.readable() => if let Err(error) = ready {
                return connection.ended(LostCause::Broken(error.kind()));
            },
            () = connection.attention.notified() => {}
            () = sleep_until(close_by.unwrap_or_else(Instant::now)), if close_by.is_some() => {}
        }
    }
}

fn stopped(connection: &Connection, stop: Stop) {
    match stop {
        Stop::Lost(cause) => {
            connection.answer_goodbye();
            if connection.is_open() {
                connection.ended(cause);
            }
        }
        Stop::Breach(error) => connection.close_for(error),
    }
}

/// While a thread holds the lane and reads in it, this task is not woken for what comes. False if nobody does.
async fn leave_to_lane(connection: &Connection) -> io::Result<bool> {
    let Some(mut before) = connection.lane.reads() else { return Ok(false) };
    if !connection.link.watch_reading(false)? {
        connection.lane.revoke();
        return Ok(false);
    }
    // Told of its end, or of anything else, this task goes on at once; so it does when nothing was read for a while.
    while timeout(LANE_TIME, connection.attention.notified()).await.is_err()
        && let Some(now) = connection.lane.reads()
    {
        if now == before {
            connection.lane.revoke();
            break;
        }
        before = now;
    }
    return_to_reading(connection).await?;
    Ok(true)
}

/// Has the runtime wait for what arrives again. For that the socket is registered anew, and a writing task that waits
/// until the kernel takes bytes holds the old registration: it has to let go of it now, because the peer may take no
/// bytes before its own are read.
async fn return_to_reading(connection: &Connection) -> io::Result<()> {
    connection.lane.set_returning(true);
    let returned = loop {
        match connection.link.watch_reading(true) {
            Ok(false) => {
                connection.blocked.notify_one();
                tokio::task::yield_now().await;
            }
            done => break done,
        }
    };
    connection.lane.set_returning(false);
    returned.map(drop)
}

/// Says the goodbye, if one is to be said, and waits until nobody writes.
async fn end<H: FrameHandler>(connection: &Connection, read_side: &ReadSide<H>) -> Lost {
    connection.hurry();
    if connection.owes_goodbye() {
        read_side.say_goodbye();
    }
    let said = async {
        while !connection.has_said_all() {
            connection.attention.notified().await;
        }
    };
    if timeout(SAY_TIMEOUT, said).await.is_err() {
        tracing::debug!(?connection, "the goodbye was not taken");
    }
    read_last(connection, read_side).await;
    // Only the first cause counts, so this one never shows.
    connection.ended(LostCause::Ended);
    loop {
        {
            let outbox = connection.outbox();
            if let (false, Phase::Over(cause)) = (outbox.writing, &outbox.phase) {
                return Lost { untaken: outbox.untaken(), cause: cause.clone() };
            }
        }
        connection.attention.notified().await;
    }
}

/// What the peer says last decides what is known of own calls: its replies, and its own goodbye.
async fn read_last<H: FrameHandler>(connection: &Connection, read_side: &ReadSide<H>) {
    if connection.has_link_ended() {
        // Writing met the end: what came before it is still with the kernel.
        for _ in 0..LAST_TURNS_MAX {
            if read_side.turn().is_err() {
                return;
            }
        }
    } else if connection.awaits_goodbye() && connection.link.shutdown_write().is_ok() {
        let until_then = async {
            while connection.awaits_goodbye() {
                match read_side.turn() {
                    Ok(Turn::More) => tokio::task::yield_now().await,
                    Ok(Turn::Drained) if connection.link.readable().await.is_ok() => {}
                    Ok(Turn::Drained) | Err(_) => return,
                }
            }
        };
        drop(timeout(LINGER_TIMEOUT, until_then).await);
    }
}

async fn linger<H: FrameHandler>(connection: &Connection, read_side: &ReadSide<H>, window: u64) {
    let mut skipped = 0;
    // A peer that has not read the goodbye yet sends no more than it has credit for, and little beside it.
    while skipped < window.saturating_mul(2) {
        match read_side.with(|reader, _| reader.skip()) {
            Some(0) => return,
            Some(count) => {
                skipped += count as u64;
                tokio::task::yield_now().await;
            }
            None => {
                if connection.link.readable().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The writing task of a connection: finishes what the kernel did not take at once.
pub(crate) async fn write_blocked(connection: Arc<Connection>) {
    while !connection.is_over() {
        connection.blocked.notified().await;
        while !connection.is_over() {
            while connection.lane.is_returning() {
                tokio::task::yield_now().await;
            }
            tokio::select! {
                ready = connection.link.writable() => if let Err(error) = ready {
                    return connection.ended(LostCause::Broken(error.kind()));
                },
                () = connection.blocked.notified() => {}
            }
            if !connection.flush_blocked() {
                break;
            }
        }
    }
}
