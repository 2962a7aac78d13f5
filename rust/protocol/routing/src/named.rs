use std::sync::Arc;

use mpreg_types::{FunctionName, FunctionVersion, NodeId};

use crate::Candidate;
use crate::interner::signature;

/// Everyone who offers one name (or has one id), the highest version first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    pub(crate) groups: Vec<Group>,
}

/// Everyone who offers one version of it.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) version: FunctionVersion,
    /// Sorted by node, then name: functions of one id may have several.
    pub(crate) members: Vec<Member>,
    /// Place of the own node among them.
    pub(crate) own: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Of the candidate's resources; here, so that most of those that lack one are passed over without a look at them.
    pub(crate) signature: u64,
    pub(crate) candidate: Arc<Candidate>,
}

impl Named {
    /// Adds `candidate`; it takes the place of one of the same node and version.
    pub(crate) fn put(&mut self, candidate: Arc<Candidate>) {
        let at = match self.group_at(&candidate.version) {
            Ok(at) => at,
            Err(at) => {
                let version = candidate.version.clone();
                // Most names have one version: the usual room for four would be half of the index's memory.
                self.groups.reserve_exact(1);
                self.groups.insert(at, Group { version, members: Vec::with_capacity(1), own: None });
                at
            }
        };
        self.groups[at].put(candidate);
    }

    /// Takes a candidate of `node` away.
    pub(crate) fn remove(
        &mut self,
        node: NodeId,
        name: &FunctionName,
        version: &FunctionVersion,
    ) -> Option<Arc<Candidate>> {
        let at = self.group_at(version).ok()?;
        let removed = self.groups[at].remove(node, name)?;
        if self.groups[at].members.is_empty() {
            self.groups.remove(at);
        }
        Some(removed)
    }

    pub(crate) fn find(
        &self,
        node: NodeId,
        name: &FunctionName,
        version: &FunctionVersion,
    ) -> Option<&Arc<Candidate>> {
        self.groups[self.group_at(version).ok()?].find(node, name)
    }

    /// All versions of `name` on `node`.
    pub(crate) fn of_node(&self, node: NodeId, name: &FunctionName) -> impl Iterator<Item = &Arc<Candidate>> {
        self.groups.iter().filter_map(move |group| group.find(node, name))
    }

    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Arc<Candidate>> {
        self.groups.iter().flat_map(|group| &group.members).map(|member| &member.candidate)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Where the group of `version` is, or belongs.
    fn group_at(&self, version: &FunctionVersion) -> Result<usize, usize> {
        self.groups.binary_search_by(|group| version.cmp(&group.version))
    }
}

impl Group {
    fn at(&self, node: NodeId, name: &FunctionName) -> Result<usize, usize> {
        self.members.binary_search_by(|member| {
            member.candidate.node().cmp(&node).then_with(|| member.candidate.name.cmp(name))
        })
    }

    fn find(&self, node: NodeId, name: &FunctionName) -> Option<&Arc<Candidate>> {
        self.at(node, name).ok().map(|at| &self.members[at].candidate)
    }

    fn put(&mut self, candidate: Arc<Candidate>) {
        let member = Member { signature: signature(&candidate.resources), candidate };
        match self.at(member.candidate.node(), &member.candidate.name) {
            Ok(at) => self.members[at] = member,
            Err(at) => self.members.insert(at, member),
        }
        self.find_own();
    }

    fn remove(&mut self, node: NodeId, name: &FunctionName) -> Option<Arc<Candidate>> {
        let removed = self.members.remove(self.at(node, name).ok()?);
        self.find_own();
        Some(removed.candidate)
    }

    fn find_own(&mut self) {
        self.own = self.members.iter().position(|member| member.candidate.peer.is_own());
    }
}
