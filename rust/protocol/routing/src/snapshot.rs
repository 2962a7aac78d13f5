use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mpreg_types::{
    ClusterId, FunctionId, FunctionName, FunctionVersion, Incarnation, NodeId, Selector, Wanted,
    WantedCluster,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::named::{Member, Named};
use crate::pick::pick;
use crate::standing::Asked;
use crate::{Candidate, Choice, Context, Explanation, Identity, NoCandidate, PeerState};

/// Names are spread over so many shards by hash; a change copies one of them.
pub(crate) const SHARDS: usize = 256;

pub(crate) type Shard = BTreeMap<FunctionName, Arc<Named>>;

pub(crate) fn shard_of(name: &FunctionName) -> usize {
    // The low byte is below SHARDS.
    (xxh3_64(name.as_str().as_bytes()) & 0xff) as usize
}

/// One node of a snapshot.
#[derive(Debug, Clone)]
pub struct NodeRow {
    /// Its state, shared with every other snapshot.
    pub peer: Arc<PeerState>,
    /// How it is shown: `cluster/name/instance`, or its id until its facts are known.
    pub label: Arc<str>,
    /// How that is proved; by its word until its facts are known.
    pub identity: Identity,
}

/// Everything that a choice needs, at one moment. Never changes; who holds it pays nothing for it.
pub struct Snapshot {
    version: u64,
    cluster: ClusterId,
    own: Arc<PeerState>,
    shards: Vec<Arc<Shard>>,
    renamed: Arc<BTreeMap<FunctionId, Arc<Named>>>,
    nodes: Arc<BTreeMap<NodeId, NodeRow>>,
}

impl Snapshot {
    pub(crate) fn new(
        version: u64,
        cluster: ClusterId,
        own: Arc<PeerState>,
        shards: Vec<Arc<Shard>>,
        renamed: Arc<BTreeMap<FunctionId, Arc<Named>>>,
        nodes: Arc<BTreeMap<NodeId, NodeRow>>,
    ) -> Self {
        assert_eq!(shards.len(), SHARDS);
        Self { version, cluster, own, shards, renamed, nodes }
    }

    /// Rises by one with every snapshot of a node.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The own cluster.
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// The own node's state.
    pub fn own(&self) -> &Arc<PeerState> {
        &self.own
    }

    /// The state of a node of the own cluster, for frames that name it.
    pub fn peer(&self, node: NodeId) -> Option<&Arc<PeerState>> {
        self.nodes.get(&node).map(|row| &row.peer)
    }

    /// What there is to know of `node`.
    pub fn node(&self, node: NodeId) -> Option<&NodeRow> {
        self.nodes.get(&node)
    }

    /// How `node` is shown.
    pub fn label(&self, node: NodeId) -> Option<&Arc<str>> {
        self.nodes.get(&node).map(|row| &row.label)
    }

    /// Every node, in order of ids.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeRow> {
        self.nodes.values()
    }

    /// Chooses one candidate. Allocates nothing; a few hundred nanoseconds.
    pub fn select(&self, selector: &Selector, context: &Context) -> Result<Choice, NoCandidate> {
        self.check_cluster(selector)?;
        let asked = Asked::new(selector, context);
        pick(&asked, &self.sources(&selector.function)).map(choice).ok_or(NoCandidate::NotFound)
    }

    /// One candidate per node that could be chosen, for a call to all: Suspect ones, tried ones and ones with an open
    /// circuit too, since no other node stands in for them. In order of nodes.
    pub fn matching(&self, selector: &Selector, context: &Context) -> Result<Vec<Choice>, NoCandidate> {
        self.check_cluster(selector)?;
        let asked = Asked::new(selector, context);
        let contract = |member: &Member| Some(member.candidate.contract) == selector.contract;
        let mut best: BTreeMap<NodeId, &Member> = BTreeMap::new();
        for member in self.members(selector) {
            if !asked.takes_version(member) || asked.standing(member).is_err() {
                continue;
            }
            let rank = |member: &Member| (contract(member), member.candidate.version.clone());
            let former = best.entry(member.candidate.node()).or_insert(member);
            if rank(member) > rank(former) {
                *former = member;
            }
        }
        if best.is_empty() {
            Err(NoCandidate::NotFound)
        } else {
            Ok(best.into_values().map(choice).collect())
        }
    }

    /// What [`Self::select`] chooses now, who else there is, and why not they.
    pub fn explain(&self, selector: &Selector, context: &Context) -> Explanation {
        Explanation::new(self, selector, context)
    }

    /// The own node's function of that identity, for calls that arrive for it.
    pub fn own_function(&self, id: &FunctionId, version: &FunctionVersion) -> Option<&Arc<Candidate>> {
        self.sources_of_id(id).into_iter().flatten().find_map(|named| {
            let group = named.groups.iter().find(|group| group.version == *version)?;
            let own = group.members.iter().filter(|member| member.candidate.peer.is_own());
            own.map(|member| &member.candidate).find(|candidate| candidate.id == *id)
        })
    }

    /// The function of that identity on one start of one node.
    pub fn find(
        &self,
        node: NodeId,
        incarnation: Incarnation,
        id: &FunctionId,
        version: &FunctionVersion,
    ) -> Option<Arc<Candidate>> {
        let offered = self.sources_of_id(id).into_iter().flatten().flat_map(Named::candidates);
        let same = |candidate: &&Arc<Candidate>| {
            candidate.node() == node
                && candidate.incarnation() == incarnation
                && candidate.id == *id
                && candidate.version == *version
        };
        offered.into_iter().find(same).cloned()
    }

    /// Everyone who offers `name`, dead ones included, the highest version first.
    pub fn candidates(&self, name: &FunctionName) -> impl Iterator<Item = &Arc<Candidate>> {
        self.named(name).into_iter().flat_map(Named::candidates)
    }

    /// Every name that somebody offers, in no order.
    pub fn names(&self) -> impl Iterator<Item = &FunctionName> {
        self.shards.iter().flat_map(|shard| shard.keys())
    }

    /// Everyone with the name or id of `selector`, whatever else it asks for.
    pub(crate) fn members<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = &'a Member> {
        let of_id = |member: &&Member| match &selector.function {
            Wanted::Name(_) => true,
            Wanted::Id(id) => member.candidate.id == *id,
        };
        let sources = self.sources(&selector.function).into_iter().flatten();
        sources.flat_map(|named| &named.groups).flat_map(|group| &group.members).filter(of_id)
    }

    /// How many shards are the very same in both.
    #[cfg(test)]
    pub(crate) fn shares_shards_with(&self, other: &Self) -> usize {
        self.shards.iter().zip(&other.shards).filter(|(a, b)| Arc::ptr_eq(a, b)).count()
    }

    fn check_cluster(&self, selector: &Selector) -> Result<(), NoCandidate> {
        match &selector.cluster {
            WantedCluster::One(cluster) if *cluster != self.cluster => Err(NoCandidate::OtherCluster),
            _ => Ok(()),
        }
    }

    /// The lists that can hold what is asked: at most two.
    fn sources(&self, wanted: &Wanted) -> [Option<&Named>; 2] {
        match wanted {
            Wanted::Name(name) => [self.named(name), None],
            Wanted::Id(id) => self.sources_of_id(id),
        }
    }

    /// Functions of an id are under the name that equals it, and under other names if they were renamed.
    fn sources_of_id(&self, id: &FunctionId) -> [Option<&Named>; 2] {
        let shard = &self.shards[(xxh3_64(id.as_str().as_bytes()) & 0xff) as usize];
        [shard.get(id.as_str()).map(Arc::as_ref), self.renamed.get(id).map(Arc::as_ref)]
    }

    fn named(&self, name: &FunctionName) -> Option<&Named> {
        self.shards[shard_of(name)].get(name).map(Arc::as_ref)
    }
}

fn choice(member: &Member) -> Choice {
    Choice { connection: member.candidate.peer.connection(), candidate: Arc::clone(&member.candidate) }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} of {:?})", self.version, self.own.node())
    }
}
