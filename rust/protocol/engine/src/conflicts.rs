use std::collections::BTreeSet;

use mpreg_routing::Candidate;
use mpreg_types::{FunctionName, FunctionVersion, NodeId};

/// Two owners differ in what they offer under one name and version. Both stay callable; a typed call takes owners of
/// its own contract first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// Of the function.
    pub name: FunctionName,
    /// Of both.
    pub version: FunctionVersion,
    /// Who brought the difference.
    pub newcomer: NodeId,
    /// Who it differs from; this node, if it is among those.
    pub other: NodeId,
    /// True: their ids differ. False: their contracts (parameters or return) do.
    pub ids_differ: bool,
}

/// Which conflicts were told already.
#[derive(Debug, Default)]
pub(crate) struct Conflicts {
    told: BTreeSet<Conflict>,
}

impl Conflicts {
    /// The conflict that `candidate` brings, if it is new. `None` too if `max` are known: then it counts as untold.
    pub(crate) fn find<'a>(
        &mut self,
        candidate: &Candidate,
        others: impl Iterator<Item = &'a Candidate>,
        max: usize,
        untold: &mut u64,
    ) -> Option<Conflict> {
        let differs = |other: &&Candidate| {
            other.version == candidate.version
                && other.node() != candidate.node()
                && (other.contract != candidate.contract || other.id != candidate.id)
        };
        // This node is told of its own conflicts first: its log has to warn of them.
        let other = others.filter(differs).max_by_key(|other| other.peer.is_own())?;
        let conflict = Conflict {
            name: candidate.name.clone(),
            version: candidate.version.clone(),
            newcomer: candidate.node(),
            other: other.node(),
            ids_differ: other.id != candidate.id,
        };
        if self.told.contains(&conflict) {
            return None;
        }
        if self.told.len() >= max {
            *untold += 1;
            return None;
        }
        self.told.insert(conflict.clone());
        Some(conflict)
    }

    /// The function of `node` is gone; should it come back different, that is news again.
    pub(crate) fn forget(&mut self, node: NodeId, name: &FunctionName, version: &FunctionVersion) {
        let concerns = |conflict: &Conflict| {
            (conflict.newcomer == node || conflict.other == node)
                && conflict.name == *name
                && conflict.version == *version
        };
        if !self.told.is_empty() {
            self.told.retain(|conflict| !concerns(conflict));
        }
    }
}
