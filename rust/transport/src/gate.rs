use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::carrier::Carrier;
use crate::faults::{Faults, Pair, Way};

/// Bytes on a delayed way, per direction; beyond, the sender waits as for a full pipe.
const ON_THE_WAY_BYTES_MAX: usize = 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// Applies [`Faults`] to one link, at the side that dialled. Exists only in tests of users and of mpreg itself.
#[derive(Debug)]
pub(crate) struct Gate {
    faults: Arc<Faults>,
    pair: Pair,
    /// [`Faults::breaks`] when the link was made.
    breaks: u64,
    inbound: Mutex<DelayLine>,
    outbound: Mutex<DelayLine>,
}

/// Bytes that have left but not arrived.
#[derive(Debug, Default)]
struct DelayLine {
    parcels: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// When the end arrives, if the sender has ended.
    end: Option<Instant>,
}

impl DelayLine {
    fn push(&mut self, due: Instant, bytes: Bytes) {
        self.bytes += bytes.len();
        self.parcels.push_back((due, bytes));
    }

    fn first_due(&self) -> Option<Instant> {
        self.parcels.front().map(|(due, _)| *due).or(self.end)
    }

    /// The first parcel, if it has arrived.
    fn arrived(&mut self) -> Option<&mut Bytes> {
        self.parcels.front_mut().filter(|(due, _)| *due <= Instant::now()).map(|(_, bytes)| bytes)
    }

    /// `count` bytes of the first parcel are gone.
    fn consume(&mut self, count: usize) {
        self.bytes -= count;
        if let Some((_, first)) = self.parcels.front_mut() {
            first.advance(count);
            if first.is_empty() {
                self.parcels.pop_front();
            }
        }
    }
}

impl Gate {
    pub(crate) fn new(faults: &Arc<Faults>, pair: Pair) -> Self {
        Self {
            breaks: faults.breaks(&pair),
            faults: faults.clone(),
            pair,
            inbound: Mutex::default(),
            outbound: Mutex::default(),
        }
    }

    /// How long bytes take now; an error if none pass.
    fn delay(&self) -> io::Result<Duration> {
        if self.faults.breaks(&self.pair) != self.breaks {
            return Err(ErrorKind::ConnectionReset.into());
        }
        match self.faults.way(&self.pair) {
            Way::Open(delay) => Ok(delay),
            Way::Cut => Err(ErrorKind::WouldBlock.into()),
            Way::Dead => Err(ErrorKind::ConnectionReset.into()),
        }
    }

    pub(crate) fn try_read(&self, carrier: &Carrier, into: &mut BytesMut) -> io::Result<usize> {
        let delay = self.delay()?;
        let mut line = self.inbound.lock();
        if delay.is_zero() && line.parcels.is_empty() && line.end.is_none() {
            return carrier.try_read(into, usize::MAX);
        }
        while line.bytes < ON_THE_WAY_BYTES_MAX && line.end.is_none() {
            let mut parcel = BytesMut::with_capacity(READ_BYTES);
            match carrier.try_read(&mut parcel, usize::MAX) {
                Ok(0) => line.end = Some(Instant::now() + delay),
                Ok(_) => line.push(Instant::now() + delay, parcel.freeze()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let room = into.capacity() - into.len();
        if let Some(parcel) = line.arrived() {
            let count = parcel.len().min(room);
            into.extend_from_slice(&parcel[..count]);
            line.consume(count);
            return Ok(count);
        }
        match line.end {
            Some(due) if line.parcels.is_empty() && due <= Instant::now() => Ok(0),
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }

    pub(crate) fn try_write(&self, carrier: &Carrier, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let delay = self.delay()?;
        let mut line = self.outbound.lock();
        Self::deliver(&mut line, carrier)?;
        if delay.is_zero() && line.parcels.is_empty() {
            return carrier.try_write(slices);
        }
        let room = ON_THE_WAY_BYTES_MAX - line.bytes;
        let mut parcel = BytesMut::new();
        for slice in slices {
            let count = slice.len().min(room - parcel.len());
            parcel.extend_from_slice(&slice[..count]);
        }
        if parcel.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = parcel.len();
        line.push(Instant::now() + delay, parcel.freeze());
        Ok(count)
    }

    /// True if nothing is on the way any more.
    pub(crate) fn flush(&self, carrier: &Carrier) -> io::Result<bool> {
        match self.delay() {
            Ok(_) => {
                let mut line = self.outbound.lock();
                Self::deliver(&mut line, carrier)?;
                Ok(line.parcels.is_empty() && carrier.flush()?)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Ok(self.outbound.lock().parcels.is_empty())
            }
            Err(error) => Err(error),
        }
    }

    fn deliver(line: &mut DelayLine, carrier: &Carrier) -> io::Result<()> {
        while let Some(parcel) = line.arrived() {
            match carrier.try_write(&[IoSlice::new(parcel)]) {
                Ok(count) => line.consume(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) async fn readable(&self, carrier: &Carrier) -> io::Result<()> {
        loop {
            // Registered before the state is read, so that no change in between is missed.
            let changed = self.faults.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.delay() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    changed.await;
                    continue;
                }
                // Broken; the attempt that follows says so.
                Err(_) => return Ok(()),
            }
            let (due, takes_more) = {
                let line = self.inbound.lock();
                (line.first_due(), line.bytes < ON_THE_WAY_BYTES_MAX && line.end.is_none())
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return Ok(()),
                ready = carrier.readable(), if takes_more => return ready,
            }
        }
    }

    pub(crate) async fn writable(&self, carrier: &Carrier) -> io::Result<()> {
        loop {
            let changed = self.faults.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.delay() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    changed.await;
                    continue;
                }
                // Broken; the attempt that follows says so.
                Err(_) => return Ok(()),
            }
            let due = self.outbound.lock().first_due().filter(|due| *due > Instant::now());
            tokio::select! {
                () = changed => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return Ok(()),
                ready = carrier.writable(), if due.is_none() => return ready,
            }
        }
    }
}
