//! What is known to be missing, who has it, and what was asked of whom.
//!
//! Invariants. Each missing owner is asked of one peer at a time, and each peer answers one request at a time, so
//! nothing is sent twice because several peers showed it. Every round either brings something or crosses the peer off,
//! so asking ends.

use std::collections::BTreeMap;
use std::time::Duration;

use mpreg_types::{Incarnation, NodeId, Time};

use crate::owner_log::OwnerLog;
use crate::{DigestRow, WantRow};

/// Most peers remembered as having what is missing.
const SOURCES_MAX: usize = 4;

#[derive(Debug)]
struct Missing {
    target: DigestRow,
    /// Who has some of it; best first, never empty.
    sources: Vec<NodeId>,
    due: Time,
    asked: Option<NodeId>,
}

#[derive(Debug)]
struct Asked {
    until: Time,
    /// Owners asked for, with the log's incarnation and progress then.
    owners: Vec<(NodeId, Progress)>,
}

/// Changes whenever a log takes anything.
type Progress = Option<(u64, u64)>;

fn progress(log: Option<&OwnerLog>) -> Progress {
    log.map(|log| (log.incarnation.0, log.progress()))
}

/// What a refused log could still bring in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hope {
    pub(crate) incarnation: Incarnation,
    pub(crate) snapshot: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Repair {
    missing: BTreeMap<NodeId, Missing>,
    asked: BTreeMap<NodeId, Asked>,
    /// What was refused; see [`Repair::refuse`].
    refused: BTreeMap<NodeId, Hope>,
}

/// How an answer ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// It brought something.
    pub(crate) progressed: bool,
    /// Owners that nobody is left to ask about.
    pub(crate) abandoned: u64,
}

impl Repair {
    /// `source` has `row`, which is ahead of what is held. False if there is no room to remember it.
    pub(crate) fn note(&mut self, source: NodeId, row: DigestRow, due: Time, owners_max: usize) -> bool {
        let hopeless = |hope: &Hope| row.incarnation <= hope.incarnation && row.snapshot < hope.snapshot;
        if self.refused.get(&row.owner).is_some_and(hopeless) {
            return true;
        }
        let room = self.missing.len() < owners_max;
        let Some(missing) = self.missing.get_mut(&row.owner) else {
            if room {
                let missing = Missing { target: row, sources: vec![source], due, asked: None };
                self.missing.insert(row.owner, missing);
            }
            return room;
        };
        // Who has less than the best is kept as well: the best may be a boast.
        missing.sources.retain(|known| *known != source);
        if row.is_ahead_of(Some(&missing.target)) {
            missing.target = row;
            missing.sources.truncate(SOURCES_MAX - 1);
            missing.sources.insert(0, source);
        } else {
            missing.sources.push(source);
            missing.sources.truncate(SOURCES_MAX);
        }
        true
    }

    /// True while `peer` is answering a request about `owner`.
    pub(crate) fn is_asked(&self, owner: &NodeId, peer: &NodeId) -> bool {
        self.missing.get(owner).is_some_and(|missing| missing.asked.as_ref() == Some(peer))
    }

    /// This log was refused and would be again: it can only go on with a snapshot at or after `hope.snapshot`, or as a
    /// later start.
    pub(crate) fn refuse(&mut self, owner: NodeId, hope: Hope, owners_max: usize) {
        self.missing.remove(&owner);
        if self.refused.len() < owners_max || self.refused.contains_key(&owner) {
            self.refused.insert(owner, hope);
        }
    }

    /// Whatever was thought of `owner` no longer holds.
    pub(crate) fn forget(&mut self, owner: &NodeId) {
        self.missing.remove(owner);
        self.refused.remove(owner);
    }

    /// Its refused log may be asked for again.
    pub(crate) fn pardon(&mut self, owner: &NodeId) {
        self.refused.remove(owner);
    }

    /// The requests to send now, at most one per peer.
    pub(crate) fn ask<'a>(
        &mut self,
        now: Time,
        timeout: Duration,
        log: impl Fn(&NodeId) -> Option<&'a OwnerLog>,
    ) -> BTreeMap<NodeId, Vec<WantRow>> {
        let mut wants: BTreeMap<NodeId, Vec<WantRow>> = BTreeMap::new();
        self.missing.retain(|owner, missing| {
            missing.asked.is_some()
                || missing.target.is_ahead_of(log(owner).map(|log| log.row(*owner)).as_ref())
        });
        for (owner, missing) in &mut self.missing {
            if missing.asked.is_some() || missing.due > now {
                continue;
            }
            let rows = |peer: &NodeId| wants.get(peer).map_or(0, Vec::len);
            let free = |peer: &&NodeId| !self.asked.contains_key(*peer) && rows(peer) < WantRow::ROWS_MAX;
            // The least burdened of those who have it; the best one among equals.
            let Some(peer) = missing.sources.iter().filter(free).min_by_key(|peer| rows(peer)).copied()
            else {
                continue;
            };
            let nothing = DigestRow { version: 0, snapshot: 0, ..missing.target };
            let nothing = WantRow { held: nothing, gathering: 0, part: 0 };
            let held = log(owner).filter(|log| log.incarnation == missing.target.incarnation);
            wants.entry(peer).or_default().push(held.map_or(nothing, |log| log.want(*owner)));
            missing.asked = Some(peer);
        }
        for (peer, rows) in &wants {
            let owners = rows.iter().map(|row| (row.held.owner, progress(log(&row.held.owner)))).collect();
            self.asked.insert(*peer, Asked { until: now + timeout, owners });
        }
        wants
    }

    /// `peer` has answered; `more` says that it cut its answer at the limit.
    pub(crate) fn served<'a>(
        &mut self,
        peer: NodeId,
        more: bool,
        now: Time,
        log: impl Fn(&NodeId) -> Option<&'a OwnerLog>,
    ) -> Outcome {
        let Some(asked) = self.asked.remove(&peer) else { return Outcome::default() };
        let progressed = asked.owners.iter().any(|(owner, before)| progress(log(owner)) != *before);
        let mut outcome = Outcome { progressed, abandoned: 0 };
        for (owner, _) in asked.owners {
            let Some(missing) = self.missing.get_mut(&owner) else { continue };
            missing.asked = None;
            if !missing.target.is_ahead_of(log(&owner).map(|log| log.row(owner)).as_ref()) {
                self.missing.remove(&owner);
                continue;
            }
            missing.due = now;
            if !(more && progressed) {
                outcome.abandoned += self.cross_off(&owner, &peer);
            }
        }
        outcome
    }

    /// Ends requests whose answers are overdue; what brought something is asked for again.
    pub(crate) fn overdue<'a>(
        &mut self,
        now: Time,
        log: impl Fn(&NodeId) -> Option<&'a OwnerLog> + Copy,
    ) -> u64 {
        let overdue = self.asked.iter().filter(|(_, asked)| asked.until <= now);
        let overdue: Vec<NodeId> = overdue.map(|(peer, _)| *peer).collect();
        overdue.into_iter().map(|peer| self.served(peer, true, now, log).abandoned).sum()
    }

    /// `peer` can no longer be asked. How many owners nobody is left to ask about.
    pub(crate) fn gone(&mut self, peer: &NodeId) -> u64 {
        self.asked.remove(peer);
        let owners: Vec<NodeId> = self.missing.keys().copied().collect();
        owners.into_iter().map(|owner| self.cross_off(&owner, peer)).sum()
    }

    fn cross_off(&mut self, owner: &NodeId, peer: &NodeId) -> u64 {
        let Some(missing) = self.missing.get_mut(owner) else { return 0 };
        missing.sources.retain(|source| source != peer);
        missing.asked = missing.asked.filter(|asked| asked != peer);
        if missing.sources.is_empty() {
            self.missing.remove(owner);
            return 1;
        }
        0
    }

    /// When [`Self::ask`] or [`Self::overdue`] has something to do next.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let overdue = self.asked.values().map(|asked| asked.until);
        // With every source busy, the end of an answer is what to wait for.
        let free = |missing: &&Missing| missing.sources.iter().any(|peer| !self.asked.contains_key(peer));
        let waiting = self.missing.values().filter(|missing| missing.asked.is_none()).filter(free);
        overdue.chain(waiting.map(|missing| missing.due)).min()
    }
}
