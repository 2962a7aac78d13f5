//! The glue to foca: its packets, timers and table, and nothing of its dissemination.
//!
//! foca speaks through a runtime that only collects. Its suspicion timers are dropped: suspicions end by the adapter's
//! own deadlines (`rumours`), because in foca 2.0 that timer has one fixed length and, when late, no second look.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::Bytes;
use foca::{Message as Swim, Notification, Runtime, State, Timer};
use mpreg_types::{MemberState, NodeId};
use rand::RngExt;

use crate::codec::{self, PACKET_BYTES_MAX};
use crate::membership::Membership;
use crate::rumours::Origin;
use crate::schedule::Task;
use crate::swim_id::SwimId;
use crate::{Config, Message, Output, Row, RowState};

/// What foca wants done.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    packets: Vec<(NodeId, Vec<u8>)>,
    timers: Vec<(Timer<SwimId>, Duration)>,
}

impl Runtime<SwimId> for &mut Wishes {
    fn notify(&mut self, _: Notification<'_, SwimId>) {
        // The table is compared after every call that can change it, which also shows what foca does not notify.
    }

    fn send_to(&mut self, to: SwimId, data: &[u8]) {
        self.packets.push((to.node, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<SwimId>, after: Duration) {
        self.timers.push((event, after));
    }
}

/// foca's own settings; everything it would disseminate by itself is off or cut down to nothing.
pub(crate) fn foca_config(config: &Config) -> foca::Config {
    foca::Config {
        probe_period: config.probe_period,
        probe_rtt: config.probe_rtt,
        num_indirect_probes: NonZeroUsize::new(config.indirect_probes).unwrap_or(NonZeroUsize::MIN),
        max_transmissions: NonZeroU8::MIN,
        suspect_to_down_after: config.suspicion,
        remove_down_after: Some(config.remember),
        max_packet_size: NonZeroUsize::new(PACKET_BYTES_MAX).unwrap_or(NonZeroUsize::MIN),
        // In foca 2.0.0 it makes living members that refuted in time give up their identity.
        notify_down_members: false,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: None,
    }
}

impl Membership {
    /// Applies rows that were found believable to foca's table, then takes over what changed.
    pub(crate) fn apply(&mut self, rows: &[Row], origin: Origin, out: &mut Vec<Output>) {
        let update = |row: &Row| {
            let id = SwimId { node: row.node, incarnation: row.incarnation, generation: row.generation };
            let state = match row.state {
                RowState::Alive => State::Alive,
                RowState::Suspect => State::Suspect,
                RowState::Down | RowState::Left => State::Down,
            };
            foca::Member::new(id, row.refutation, state)
        };
        let mut wishes = Wishes::default();
        let applied = self.foca.apply_many(rows.iter().map(update), false, &mut wishes);
        self.fulfil(wishes, &applied, out);
        self.adopt_changes(origin, out);
    }

    /// A packet of foca from a peer.
    pub(crate) fn packet(&mut self, from: NodeId, packet: &Bytes, out: &mut Vec<Output>) {
        let Ok(header) = codec::decode_packet(packet) else {
            self.counters.malformed += 1;
            return;
        };
        let known = self.table.get(from).map(|entry| entry.member.identity.clone());
        let (Some(known), src, dst) = (known, header.src, header.dst) else { return };
        let is_probe = matches!(
            header.message,
            Swim::Ping(_)
                | Swim::Ack(_)
                | Swim::PingReq { .. }
                | Swim::IndirectPing { .. }
                | Swim::IndirectAck { .. }
                | Swim::ForwardedAck { .. }
        );
        if !is_probe || src.node != from || dst.node != self.own_id.node || src.generation == SwimId::LEFT {
            self.counters.malformed += 1;
            return;
        }
        if src.incarnation != known.incarnation {
            self.counters.old_incarnation += 1;
            return;
        }
        // The source of a packet is first-hand news about the source.
        let row = Row {
            node: from,
            incarnation: src.incarnation,
            generation: src.generation,
            refutation: header.src_incarnation,
            state: RowState::Alive,
            addresses: known.addresses,
        };
        self.learn(vec![row], Origin::News(from), out);
        if dst != self.own_id {
            // The peer knows an older generation of us, whose packets foca does not take.
            self.post(from, Message::News(vec![self.own_row()]), out);
            return;
        }
        match header.message {
            Swim::Ack(probe) if self.health.probe_answered(from, probe) => self.schedule.probe_answered(src),
            Swim::ForwardedAck { origin, probe_number } => {
                self.health.probe_answered(origin.node, probe_number);
            }
            _ => {}
        }
        let mut wishes = Wishes::default();
        let handled = self.foca.handle_data(packet, &mut wishes);
        self.fulfil(wishes, &handled, out);
    }

    /// A timer of foca is due.
    pub(crate) fn swim_timer(&mut self, timer: Timer<SwimId>, out: &mut Vec<Output>) {
        let mut wishes = Wishes::default();
        let handled = self.foca.handle_timer(timer, &mut wishes);
        // This one is a round of probes that goes on; what other calls plan is the first round.
        self.plan_timers(&mut wishes, false);
        self.fulfil(wishes, &handled, out);
        self.adopt_changes(Origin::Own, out);
    }

    /// Takes another identity after being held for Down in this or a later generation.
    pub(crate) fn renew_above(&mut self, generation: u32, out: &mut Vec<Output>) {
        let above = SwimId { generation: generation.saturating_add(1), ..self.own_id };
        if above.generation == SwimId::LEFT {
            self.counters.malformed += 1;
            return;
        }
        let mut wishes = Wishes::default();
        let changed = self.foca.change_identity(above, &mut wishes);
        self.fulfil(wishes, &changed, out);
        // foca looks at whether it is connected only when it applies something.
        self.apply(&[], Origin::Own, out);
    }

    fn plan_timers(&mut self, wishes: &mut Wishes, first_round: bool) {
        for (timer, after) in wishes.timers.drain(..) {
            let after = match &timer {
                Timer::ChangeSuspectToDown { .. } => continue,
                // Nodes that start together must not probe in step, or the dead wait longer for their first probe.
                Timer::ProbeRandomMember(_) if first_round => after * self.rng.random_range(0..1000) / 1000,
                Timer::ProbeRandomMember(_) | Timer::SendIndirectProbe { .. } => self.health.stretch(after),
                _ => after,
            };
            self.schedule.add(self.now + after, Task::Swim(timer));
        }
    }

    fn fulfil(&mut self, mut wishes: Wishes, result: &Result<(), foca::Error>, out: &mut Vec<Output>) {
        if result.is_err() {
            self.counters.swim_errors += 1;
        }
        self.plan_timers(&mut wishes, true);
        let id = *self.foca.identity();
        let mut refutation = if id == self.own_id { self.own_refutation } else { 0 };
        for (to, packet) in wishes.packets {
            let Ok((header, bytes)) = codec::split_packet(&packet) else {
                self.counters.swim_errors += 1;
                continue;
            };
            refutation = header.src_incarnation;
            match header.message {
                // Made by foca to spread a refutation; our own row is pushed to everybody instead.
                Swim::Gossip => continue,
                Swim::Ping(probe) => self.health.probe_sent(to, probe),
                _ => {}
            }
            let is_answer = matches!(header.message, Swim::Ack(_));
            let packet = Bytes::copy_from_slice(&packet[..bytes]);
            let load = self.load;
            let message = if is_answer { Message::Answer { packet, load } } else { Message::Swim(packet) };
            self.post(to, message, out);
        }
        if id != self.own_id || refutation != self.own_refutation {
            self.own_id = id;
            self.own_refutation = refutation;
            self.counters.refuted += 1;
            self.health.worse();
            self.news.add(id.node, None, true);
        }
    }

    /// The table's invariant; too slow to check in release.
    pub(crate) fn mirrors_foca(&self) -> bool {
        self.foca.iter_membership_state().all(|member| {
            self.table.get(member.id().node).is_some_and(|entry| {
                let living = entry.is_living() == (member.state() != State::Down);
                entry.id() == *member.id()
                    && living
                    && (member.state() == State::Suspect) == (entry.member.state == MemberState::Suspect)
            })
        })
    }
}
