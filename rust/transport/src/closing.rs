//! How a connection ends, on this side.

use std::sync::atomic::Ordering;

use mpreg_types::Untaken;
use mpreg_wire::Parting;
use parking_lot::MutexGuard;

use crate::outbox::{Outbox, Phase};
use crate::{CloseReason, Connection, Counters, Goodbye, LostCause, ProtocolError};

impl Connection {
    /// Takes no further call of the peer from now on, and tells it which it took. Those are still to be answered, and the
    /// own calls go on; [`Self::close`] follows when that is done.
    pub fn take_no_more(&self, why: impl Into<Goodbye>) {
        let mut outbox = self.outbox();
        if outbox.phase == Phase::Open {
            outbox.partings.owe(why.into());
            drop(outbox);
            self.part();
        }
    }

    /// Closes it in order: nothing new is taken, what was appended goes out, and the reason. Returns at once.
    pub fn close(&self, why: impl Into<Goodbye>) {
        self.close_in_order(self.outbox(), why);
    }

    /// Closes it so, unless something waits to be written or an own call has not ended: no call can come in between.
    pub fn close_if_quiet(&self, why: impl Into<Goodbye>) {
        let outbox = self.outbox();
        if outbox.is_quiet() {
            self.close_in_order(outbox, why);
        }
    }

    fn close_in_order(&self, mut outbox: MutexGuard<'_, Outbox>, why: impl Into<Goodbye>) {
        if outbox.phase == Phase::Open {
            let goodbye = why.into();
            outbox.partings.owe(goodbye.clone());
            outbox.phase = Phase::Closing(LostCause::Closed(goodbye));
            self.open.store(false, Ordering::Release);
            drop(outbox);
            self.part();
        }
    }

    /// The peer broke the protocol: it gets to know, and nothing else.
    pub(crate) fn close_for(&self, error: ProtocolError) {
        let mut outbox = self.outbox();
        if matches!(outbox.phase, Phase::Over(_)) {
            return;
        }
        Counters::add(&self.counters.refused_frames, 1);
        outbox.discard();
        outbox.partings.owe(Goodbye::new(CloseReason::Protocol, &error.to_string()));
        outbox.phase = Phase::Closing(LostCause::Protocol(error));
        self.open.store(false, Ordering::Release);
        drop(outbox);
        self.part();
    }

    /// The peer has said goodbye and hung up: it gets to know in turn what was taken of it.
    pub(crate) fn answer_goodbye(&self) {
        let mut outbox = self.outbox();
        let heard = outbox.partings.heard().cloned().filter(|_| outbox.phase == Phase::Open);
        if let Some(goodbye) = heard {
            outbox.partings.owe(CloseReason::Answer.into());
            outbox.phase = Phase::Closing(LostCause::Goodbye(goodbye));
            self.open.store(false, Ordering::Release);
            drop(outbox);
            self.part();
        }
    }

    fn part(&self) {
        self.taking.store(false, Ordering::Release);
        // What was appended before goes before.
        self.flush();
        self.say_goodbye_here();
        self.flush();
        self.attention.notify_one();
    }

    /// True while calls of the peer are taken.
    pub(crate) fn is_taking(&self) -> bool {
        self.taking.load(Ordering::Acquire)
    }

    /// True if the peer is to be told that it is over, and by the reader which of its calls were taken.
    pub(crate) fn owes_goodbye(&self) -> bool {
        !self.is_taking() && self.outbox().partings.is_owed()
    }

    /// The peer says which own calls it took.
    pub(crate) fn hear_goodbye(&self, parting: &Parting) -> Result<Untaken, ProtocolError> {
        let mut outbox = self.outbox();
        let untaken = outbox.hear_goodbye(parting)?;
        // Writing saw the end before reading saw the goodbye before it.
        if let Phase::Over(LostCause::Ended | LostCause::Broken(_)) = outbox.phase {
            outbox.phase = Phase::Over(LostCause::Goodbye(Goodbye::of(parting)));
        }
        Ok(untaken)
    }

    /// True if own calls wait for replies or for the peer's goodbye, now that all is said from here. One that is held for
    /// dead will say none.
    pub(crate) fn awaits_goodbye(&self) -> bool {
        let outbox = self.outbox();
        matches!(&outbox.phase, Phase::Closing(LostCause::Closed(why)) if why.reason != CloseReason::Unresponsive)
            && outbox.pending.len() > 0
            && outbox.partings.heard().is_none()
    }

    /// Says the goodbye now, if the kernel takes it, whatever still waits for credit.
    pub(crate) fn hurry(&self) {
        self.outbox().give_up_values();
        self.flush();
    }

    /// True if there is nothing to be written any more, because all was said or because nothing can be.
    pub(crate) fn has_said_all(&self) -> bool {
        if self.is_open() {
            return false;
        }
        let outbox = self.outbox();
        outbox.is_said() || matches!(outbox.phase, Phase::Over(_))
    }

    /// True if the link has ended, and neither side broke the protocol.
    pub(crate) fn has_link_ended(&self) -> bool {
        let outbox = self.outbox();
        matches!(&outbox.phase, Phase::Over(cause) if !matches!(cause, LostCause::Protocol(_)))
    }

    pub(crate) fn is_over(&self) -> bool {
        !self.is_open() && matches!(self.outbox().phase, Phase::Over(_))
    }

    /// It is over; the first cause counts, but for a goodbye that came before the end.
    pub(crate) fn ended(&self, cause: LostCause) {
        self.end(&mut self.outbox(), cause);
    }

    pub(crate) fn end(&self, outbox: &mut Outbox, cause: LostCause) {
        let cause = match (&outbox.phase, outbox.partings.heard()) {
            (Phase::Open, Some(goodbye)) if matches!(cause, LostCause::Ended | LostCause::Broken(_)) => {
                LostCause::Goodbye(goodbye.clone())
            }
            (Phase::Open, _) => cause,
            // Who was closing anyway keeps the reason; that the peer then hung up is what was wanted.
            (Phase::Closing(cause) | Phase::Over(cause), _) => cause.clone(),
        };
        outbox.phase = Phase::Over(cause);
        self.open.store(false, Ordering::Release);
        self.taking.store(false, Ordering::Release);
        self.attention.notify_one();
        self.blocked.notify_one();
    }
}
