//! Comparing catalogs: roots, then digests, then requests for what is missing.

use std::collections::BTreeMap;

use mpreg_types::{Defect, NodeId, Signed, Time, differing_parts, first_of_part, last_of_part};
use rand::RngExt;

use crate::catalog::messages;
use crate::owner_log::OwnerLog;
use crate::parts;
use crate::{Catalog, Digest, DigestRow, Message, Output, Refusal, Timer, WantRow};

/// Up to this many rows a catalog that differs is told of whole; beyond, its parts are compared first.
const WHOLE_ROWS: usize = 512;

impl Catalog {
    /// Of the two ends of a new connection the one with the lower id compares; the answers serve both.
    /// Beyond the full mesh the two may not agree on whether there is an occasion, so whoever sees one compares.
    pub(crate) fn connected(&mut self, peer: NodeId, now: Time, out: &mut Vec<Output>) {
        self.attached(peer, now, out);
        if self.me < peer || self.view.is_some() {
            self.send_root(peer, out);
        }
    }

    pub(crate) fn attached(&mut self, peer: NodeId, now: Time, out: &mut Vec<Output>) {
        self.peers.insert(peer);
        if self.anti_entropy_at.is_none() {
            self.schedule_anti_entropy(now, out);
        }
    }

    pub(crate) fn disconnected(&mut self, peer: &NodeId) {
        self.peers.remove(peer);
        self.counters.wants_abandoned += self.repair.gone(peer);
    }

    pub(crate) fn message(&mut self, from: NodeId, message: Message, now: Time, out: &mut Vec<Output>) {
        if !self.peers.contains(&from) {
            return self.refused(from, None, Refusal::NotConnected, out);
        }
        match message {
            Message::Batches(_) => self.refused(from, None, Refusal::Unverified, out),
            Message::Root(theirs) => {
                if theirs != self.root() {
                    self.differs(from, out);
                }
            }
            Message::Parts(theirs) => self.parts(from, &theirs, out),
            Message::Digest(digest) => self.digest(from, &digest, now, out),
            Message::Want(rows) => self.want(from, &rows, out),
            Message::Served { more } => self.served(from, more, now, out),
        }
    }

    /// Every few seconds with one random peer; nothing while there is none.
    pub(crate) fn anti_entropy(&mut self, now: Time, out: &mut Vec<Output>) {
        match self.anti_entropy_at {
            Some(at) if at > now => return self.set_timer(Timer::AntiEntropy, at, out),
            Some(_) => {}
            None => return,
        }
        if self.peers.is_empty() {
            self.anti_entropy_at = None;
            return;
        }
        let chosen = self.rng.random_range(0..self.peers.len());
        if let Some(peer) = self.peers.iter().nth(chosen).copied() {
            self.send_root(peer, out);
        }
        self.schedule_anti_entropy(now, out);
    }

    fn schedule_anti_entropy(&mut self, now: Time, out: &mut Vec<Output>) {
        let at = now + self.jittered();
        self.anti_entropy_at = Some(at);
        self.set_timer(Timer::AntiEntropy, at, out);
    }

    fn send_root(&mut self, to: NodeId, out: &mut Vec<Output>) {
        self.counters.roots_sent += 1;
        let message = Message::Root(self.root());
        out.push(Output::Send { to, message });
    }

    /// The roots differ: all rows if they are few, else the roots of their parts.
    fn differs(&mut self, to: NodeId, out: &mut Vec<Output>) {
        let rows = self.digest_rows();
        if rows.len() <= WHOLE_ROWS {
            self.send_digests(to, (first_of_part(0), last_of_part(u8::MAX)), &rows, out);
        } else {
            out.push(Output::Send { to, message: Message::Parts(parts::roots(&rows)) });
        }
    }

    /// The roots of a peer's parts: our rows of those that differ.
    fn parts(&mut self, from: NodeId, theirs: &[u8], out: &mut Vec<Output>) {
        let rows = self.digest_rows();
        let Some(ranges) = differing_parts(&parts::roots(&rows), theirs) else {
            return self.refused(from, None, Refusal::TooManyRows, out);
        };
        for (first, last) in ranges {
            let (first, last) = (first_of_part(first), last_of_part(last));
            let from_here = rows.partition_point(|row| row.owner < first);
            let to_here = rows.partition_point(|row| row.owner <= last);
            self.send_digests(from, (first, last), &rows[from_here..to_here], out);
        }
    }

    /// All `rows` of that range, in messages that each cover a range of owners and can be answered alone.
    fn send_digests(
        &mut self,
        to: NodeId,
        (mut first, end): (NodeId, NodeId),
        rows: &[DigestRow],
        out: &mut Vec<Output>,
    ) {
        let mut chunks = rows.chunks(Digest::ROWS_MAX).peekable();
        loop {
            let chunk = chunks.next().unwrap_or(&[]);
            let next = chunks.peek().and_then(|chunk| chunk.first()).map(|row| row.owner);
            let last = next.map_or(end, before);
            self.send_digest(to, Digest { first, last, rows: chunk.to_vec(), answer: false }, out);
            let Some(next) = next else { return };
            first = next;
        }
    }

    fn send_digest(&mut self, to: NodeId, digest: Digest, out: &mut Vec<Output>) {
        self.counters.digests_sent += 1;
        out.push(Output::Send { to, message: Message::Digest(digest) });
    }

    fn digest(&mut self, from: NodeId, digest: &Digest, now: Time, out: &mut Vec<Output>) {
        if digest.rows.len() > Digest::ROWS_MAX {
            return self.refused(from, None, Refusal::TooManyRows, out);
        }
        for row in &digest.rows {
            if let Err(refusal) = self.compare(from, row, now) {
                self.refused(from, Some(row.owner), refusal, out);
            }
        }
        if digest.answer {
            return;
        }
        let theirs: BTreeMap<NodeId, &DigestRow> = digest.rows.iter().map(|row| (row.owner, row)).collect();
        let mut rows = self.digest_rows();
        rows.retain(|row| {
            (digest.first..=digest.last).contains(&row.owner)
                && row.is_ahead_of(theirs.get(&row.owner).copied())
        });
        for rows in rows.chunks(Digest::ROWS_MAX) {
            let answer = Digest { rows: rows.to_vec(), answer: true, ..*digest };
            self.send_digest(from, answer, out);
        }
    }

    /// Notes what `from` has and this node lacks. Logs that would not be taken from it are none of that.
    fn compare(&mut self, from: NodeId, row: &DigestRow, now: Time) -> Result<(), Refusal> {
        if row.owner == self.me {
            return match self.check_echo(row.incarnation, row.version) {
                Err(Refusal::NotOurs) => Err(Refusal::NotOurs),
                _ => Ok(()),
            };
        }
        let held = self.owners.get(&row.owner).map(|owner| owner.log.row(row.owner));
        let wanted =
            row.is_ahead_of(held.as_ref()) && self.admit(from, row.owner, row.incarnation, now).is_ok();
        if wanted {
            let held = held.is_some_and(|held| held.incarnation == row.incarnation);
            if held && Defect::CatalogNeverAsksForTheRest.is_in() {
                return Ok(());
            }
            // Frames of one connection stay in order: what the sender is ahead with in its own log cannot be on its way.
            self.lack(from, *row, held && row.owner != from, now);
        }
        Ok(())
    }

    fn want(&mut self, from: NodeId, rows: &[WantRow], out: &mut Vec<Output>) {
        if rows.len() > WantRow::ROWS_MAX {
            return self.refused(from, None, Refusal::TooManyRows, out);
        }
        let mut budget = self.config.answer_bytes_max;
        let mut batches: Vec<Signed> = Vec::new();
        let complete = rows.iter().all(|row| match self.log_to_serve(&row.held.owner) {
            Some(log) => log.serve(row, &mut budget, &mut batches),
            None => true,
        });
        self.counters.batches_served += batches.len() as u64;
        out.extend(messages(batches).into_iter().map(|message| Output::Send { to: from, message }));
        out.push(Output::Send { to: from, message: Message::Served { more: !complete } });
    }

    /// Logs of owners that are dead or unknown here are not passed on.
    fn log_to_serve(&self, owner: &NodeId) -> Option<&OwnerLog> {
        if *owner == self.me {
            return Some(self.own.signed());
        }
        self.owners.get(owner).filter(|owner| owner.is_shown()).map(|owner| &owner.log)
    }

    fn served(&mut self, from: NodeId, more: bool, now: Time, out: &mut Vec<Output>) {
        let Self { repair, owners, .. } = self;
        let outcome = repair.served(from, more, now, |owner| owners.get(owner).map(|owner| &owner.log));
        self.counters.wants_abandoned += outcome.abandoned;
        if outcome.progressed && !more {
            self.compare_around(Some(from), out);
        }
    }

    /// In a partial mesh what came otherwise than by a push may be news to those around: compare with all but one of
    /// them. In a full mesh everybody has heard it from its owner.
    pub(crate) fn compare_around(&mut self, but: Option<NodeId>, out: &mut Vec<Output>) {
        if self.view.is_some() {
            let peers: Vec<NodeId> = self.audience().filter(|peer| Some(**peer) != but).copied().collect();
            for peer in peers {
                self.send_root(peer, out);
            }
        }
    }

    pub(crate) fn overdue(&mut self, now: Time) {
        let Self { repair, owners, .. } = self;
        let abandoned = repair.overdue(now, |owner| owners.get(owner).map(|owner| &owner.log));
        self.counters.wants_abandoned += abandoned;
    }

    /// Sends the requests that are due, and sets the timer for the next.
    pub(crate) fn ask(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(due) = self.repair.next_due() else { return };
        if due <= now {
            let Self { repair, owners, config, .. } = self;
            let log = |owner: &NodeId| owners.get(owner).map(|owner| &owner.log);
            let wants = repair.ask(now, config.want_timeout, log);
            for (to, rows) in wants {
                self.counters.wants_sent += 1;
                out.push(Output::Send { to, message: Message::Want(rows) });
            }
        }
        if let Some(at) = self.repair.next_due() {
            self.set_timer(Timer::Want, at, out);
        }
    }
}

/// The id just before `id`.
fn before(id: NodeId) -> NodeId {
    NodeId::from_bytes(u128::from_be_bytes(*id.as_bytes()).saturating_sub(1).to_be_bytes())
}
