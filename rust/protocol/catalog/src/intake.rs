//! How the catalog takes batches: from whom, of whom, and what comes of it.

use mpreg_types::{Incarnation, MemberState, NodeId, Signed, Time, Verified};

use crate::batch::Batch;
use crate::catalog::push;
use crate::owner::{Owner, Standing};
use crate::owner_log::{Applied, Change, OwnerLog};
use crate::repair::Hope;
use crate::{Catalog, DigestRow, EntryKey, EntryValue, Output, Refusal, Timer};

impl Catalog {
    pub(crate) fn batches(
        &mut self,
        from: NodeId,
        batches: Vec<Verified<Signed>>,
        now: Time,
        out: &mut Vec<Output>,
    ) {
        let mut news = Vec::new();
        for verified in batches {
            let signed = verified.into_inner();
            let owner = signed.signer();
            let parsed = Batch::parse(signed.clone(), &self.cluster);
            match parsed.and_then(|batch| self.take(from, batch, now, out)) {
                // What this node asked for most others have: comparing roots is cheaper than handing it on.
                Ok(true) if !self.repair.is_asked(&owner, &from) => news.push(signed),
                Ok(_) => {}
                Err(refusal) => self.refused(from, Some(owner), refusal, out),
            }
        }
        if self.view.is_some() && !news.is_empty() {
            let to: Vec<NodeId> = self.audience().filter(|peer| **peer != from).copied().collect();
            self.counters.batches_forwarded += news.len() as u64;
            push(&to, news, out);
        }
    }

    /// True if it was news.
    fn take(
        &mut self,
        from: NodeId,
        batch: Batch,
        now: Time,
        out: &mut Vec<Output>,
    ) -> Result<bool, Refusal> {
        let (id, incarnation, span) = (batch.owner, batch.incarnation, batch.span);
        if id == self.me {
            self.check_echo(incarnation, span.to)?;
            self.counters.batches_known += 1;
            return Ok(false);
        }
        let standing = self.admit(from, id, incarnation, now)?;
        if matches!(standing, Standing::Unknown(_)) {
            self.check_room(id, batch.signed.body.len())?;
        }
        let mut owner = self.open(id, incarnation, now, out);
        let mut changes = Vec::new();
        let applied = owner.log.apply(batch, &self.config, &mut changes);
        let held = owner.log.version() > 0;
        if applied.is_ok_and(Applied::is_news) {
            self.root = None;
            self.count_opaque(&changes);
            let tell = &mut |event| out.push(Output::Event(event));
            owner.changed(changes, tell);
            match standing {
                Standing::Shown => owner.show(tell),
                Standing::Down(since) => owner.hide(since, tell),
                Standing::Unknown(_) => {}
            }
        }
        if !owner.log.is_empty() {
            self.watch_expiry(owner.standing(), out);
            self.owners.insert(id, owner);
        }
        let row = DigestRow {
            owner: id,
            incarnation,
            version: span.to,
            snapshot: if span.is_snapshot() { span.to } else { 0 },
        };
        self.concluded(from, row, held, applied, now)
    }

    /// Our own log comes back: older than ours, or somebody else signs with our key.
    pub(crate) fn check_echo(&self, incarnation: Incarnation, version: u64) -> Result<(), Refusal> {
        if incarnation < self.incarnation {
            return Err(Refusal::StaleIncarnation { newest: self.incarnation });
        }
        let ours = incarnation == self.incarnation && version <= self.own.signed().version();
        if ours { Ok(()) } else { Err(Refusal::NotOurs) }
    }

    /// What membership has to say about taking this log from `from`.
    pub(crate) fn admit(
        &self,
        from: NodeId,
        owner: NodeId,
        incarnation: Incarnation,
        now: Time,
    ) -> Result<Standing, Refusal> {
        let member = self.members.get(&owner).filter(|member| member.incarnation >= incarnation);
        let held = self.owners.get(&owner).map(|owner| owner.log.incarnation);
        let newest = member.map(|member| member.incarnation).max(held);
        if let Some(newest) = newest.filter(|newest| *newest > incarnation) {
            return Err(Refusal::StaleIncarnation { newest });
        }
        match member.map(|member| member.state) {
            Some(MemberState::Alive | MemberState::Suspect) => Ok(Standing::Shown),
            Some(MemberState::Down) if from == owner => Ok(Standing::Down(now)),
            Some(MemberState::Down) => Err(Refusal::OwnerDown),
            Some(MemberState::Left) => Err(Refusal::OwnerLeft),
            None => Ok(Standing::Unknown(now)),
        }
    }

    /// Is there room for `bytes` more of owners that membership does not know?
    fn check_room(&self, owner: NodeId, bytes: usize) -> Result<(), Refusal> {
        let unknown = self.owners.values().filter(|held| matches!(held.standing(), Standing::Unknown(_)));
        let (mut count, mut held_bytes) = (0, bytes);
        for other in unknown {
            count += usize::from(other.id != owner);
            held_bytes += other.log.held_bytes();
        }
        if count >= self.config.unknown_owners_max || held_bytes > self.config.unknown_bytes_max {
            return Err(Refusal::TooManyUnknown);
        }
        Ok(())
    }

    /// The log of this start of `id`, taken out; that of an earlier start is dropped.
    fn open(&mut self, id: NodeId, incarnation: Incarnation, now: Time, out: &mut Vec<Output>) -> Owner {
        match self.owners.remove(&id) {
            Some(owner) if owner.log.incarnation == incarnation => return owner,
            Some(former) => {
                self.root = None;
                former.dropped(&mut |event| out.push(Output::Event(event)));
            }
            None => {}
        }
        Owner::unknown(id, OwnerLog::new(incarnation), now)
    }

    fn watch_expiry(&mut self, standing: Standing, out: &mut Vec<Output>) {
        if let Some(at) = self.expires(standing) {
            self.set_timer(Timer::Expire, at, out);
        }
    }

    fn count_opaque(&mut self, changes: &[Change]) {
        let opaque = |change: &&Change| {
            let known = !matches!(change.key, EntryKey::Unknown { .. });
            known && matches!(change.value.as_deref(), Some(EntryValue::Opaque(_)))
        };
        self.counters.values_opaque += changes.iter().filter(opaque).count() as u64;
    }

    /// Counts, and remembers what follows from it for asking.
    fn concluded(
        &mut self,
        from: NodeId,
        row: DigestRow,
        held: bool,
        applied: Result<Applied, Refusal>,
        now: Time,
    ) -> Result<bool, Refusal> {
        match applied {
            Ok(Applied::Known) => self.counters.batches_known += 1,
            Ok(Applied::Gap) => {
                self.counters.gaps += 1;
                self.lack(from, row, held, now);
            }
            Ok(Applied::News) => self.counters.batches_applied += 1,
            Ok(Applied::NewSnapshot) => {
                self.counters.batches_applied += 1;
                self.counters.snapshots_applied += 1;
            }
            Err(_) => {
                // A refused snapshot helps no more, the next one may.
                let snapshot = row.version.saturating_add(u64::from(row.snapshot > 0));
                let hope = Hope { incarnation: row.incarnation, snapshot };
                self.repair.refuse(row.owner, hope, self.config.missing_owners_max);
            }
        }
        applied.map(Applied::is_news)
    }

    /// `from` has `row`, which is more than is held: it will be asked for. `held`: something of it is here already.
    pub(crate) fn lack(&mut self, from: NodeId, row: DigestRow, held: bool, now: Time) {
        // What comes in after its connection ended cannot be followed up.
        if !self.peers.contains(&from) {
            return;
        }
        let due = if held { now + self.config.want_delay } else { now };
        if !self.repair.note(from, row, due, self.config.missing_owners_max) {
            self.counters.wants_overflowed += 1;
        }
    }
}
