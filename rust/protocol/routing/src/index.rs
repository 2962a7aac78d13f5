use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mpreg_types::{
    ClusterId, FunctionId, FunctionName, FunctionVersion, Incarnation, MemberState, NodeId, ResourceSet,
};

use crate::interner::Interner;
use crate::load::MeanLoad;
use crate::named::Named;
use crate::snapshot::{SHARDS, Shard, shard_of};
use crate::{Candidate, Identity, LocalFunction, NodeProfile, NodeRow, Offer, PeerState, Snapshot};

/// The node whose index it is.
#[derive(Debug, Clone)]
pub struct Own {
    /// Its id.
    pub node: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Its cluster.
    pub cluster: ClusterId,
    /// How it is shown: `cluster/name/instance`.
    pub label: Arc<str>,
}

/// What the engine knows of nodes and functions, kept ready to be published.
///
/// Invariant: what a published snapshot holds is never changed; a shard is copied at its first change after that.
#[derive(Debug)]
pub struct Index {
    own: Arc<PeerState>,
    cluster: ClusterId,
    nodes: BTreeMap<NodeId, NodeRecord>,
    rows: Arc<BTreeMap<NodeId, NodeRow>>,
    shards: Vec<Arc<Shard>>,
    /// Functions whose id is not their name, by id.
    renamed: Arc<BTreeMap<FunctionId, Arc<Named>>>,
    sets: Interner,
    mean: Arc<MeanLoad>,
    dials_on_demand: Arc<AtomicBool>,
    version: u64,
    changed: bool,
}

#[derive(Debug)]
struct NodeRecord {
    peer: Arc<PeerState>,
    resources: Arc<ResourceSet>,
    /// Names it offers some version of.
    names: BTreeSet<FunctionName>,
}

impl Index {
    /// Knows the own node only.
    pub fn new(own: Own) -> Self {
        let mean = Arc::<MeanLoad>::default();
        let dials_on_demand = Arc::<AtomicBool>::default();
        let (node, shared) = (own.node, Arc::clone(&dials_on_demand));
        let peer = Arc::new(PeerState::new(node, own.incarnation, true, Arc::clone(&mean), shared));
        let mut index = Self {
            own: Arc::clone(&peer),
            cluster: own.cluster,
            nodes: BTreeMap::new(),
            rows: Arc::default(),
            shards: (0..SHARDS).map(|_| Arc::default()).collect(),
            renamed: Arc::default(),
            sets: Interner::default(),
            mean,
            dials_on_demand,
            version: 0,
            changed: true,
        };
        index.add_node(peer, own.label);
        index
    }

    /// The own node's state.
    pub fn own(&self) -> &Arc<PeerState> {
        &self.own
    }

    /// The state of that start of `node`, made if it is new. A higher incarnation takes the place of a lower one, whose
    /// functions go; of a lower one there is none.
    pub fn peer(&mut self, node: NodeId, incarnation: Incarnation) -> Option<Arc<PeerState>> {
        match self.nodes.get(&node) {
            Some(record) if record.peer.incarnation() == incarnation => {
                return Some(Arc::clone(&record.peer));
            }
            Some(record) if record.peer.incarnation() > incarnation || record.peer.is_own() => return None,
            Some(_) => self.drop_node(node),
            None => {}
        }
        let (mean, shared) = (Arc::clone(&self.mean), Arc::clone(&self.dials_on_demand));
        let peer = Arc::new(PeerState::new(node, incarnation, false, mean, shared));
        self.add_node(Arc::clone(&peer), node.to_string().into());
        Some(peer)
    }

    /// The state of `node`'s latest known start.
    pub fn known_peer(&self, node: NodeId) -> Option<&Arc<PeerState>> {
        self.nodes.get(&node).map(|record| &record.peer)
    }

    /// Membership's view of a node. Seen through its atomic at once; marked as a change so that waiting calls look again.
    pub fn set_member(&mut self, node: NodeId, incarnation: Incarnation, state: MemberState) {
        if let Some(peer) = self.peer(node, incarnation)
            && peer.member() != state
        {
            peer.set_member(state);
            self.changed = true;
        }
    }

    /// Whether nodes without a connection are candidates, to be dialled for the call that chose them: so in a cluster too
    /// large for a connection between every two.
    pub fn set_dials_on_demand(&mut self, on: bool) {
        if self.dials_on_demand.swap(on, Ordering::Relaxed) != on {
            self.changed = true;
        }
    }

    /// Something in a [`PeerState`] changed that a waiting call may have waited for: a connection came, say.
    pub fn touch(&mut self) {
        self.changed = true;
    }

    /// What a node says of itself.
    pub fn set_profile(&mut self, node: NodeId, incarnation: Incarnation, profile: NodeProfile) {
        let Some(peer) = self.peer(node, incarnation) else { return };
        let NodeProfile { label, identity, resources, draining } = profile;
        peer.set_draining(draining);
        self.changed = true;
        Arc::make_mut(&mut self.rows).insert(node, NodeRow { peer, label, identity });
        let resources = self.sets.intern(resources);
        let Some(record) = self.nodes.get_mut(&node) else { return };
        if record.resources == resources {
            return;
        }
        record.resources = Arc::clone(&resources);
        for name in record.names.clone() {
            let old: Vec<_> =
                self.named(&name).map(|n| n.of_node(node, &name).cloned().collect()).unwrap_or_default();
            for candidate in old {
                let all = self.sets.intern(candidate.own_resources.union(&resources));
                self.insert(Arc::new(candidate.with_resources(all)));
            }
        }
    }

    /// Its name is proved, or no longer.
    pub fn set_identity(&mut self, node: NodeId, incarnation: Incarnation, identity: Identity) {
        let known = self.peer(node, incarnation).is_some();
        if let Some(row) = Arc::make_mut(&mut self.rows).get_mut(&node).filter(|_| known) {
            row.identity = identity;
            self.changed = true;
        }
    }

    /// `node` offers a function, or offers it in another form. `local` for the own node's.
    pub fn put_function(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        offer: &Offer,
        local: Option<LocalFunction>,
    ) {
        let Some(peer) = self.peer(node, incarnation) else { return };
        assert!(local.is_none() || peer.is_own(), "only the own node has functions in this process");
        let Some(record) = self.nodes.get_mut(&node) else { return };
        record.names.insert(offer.name.clone());
        let own_resources = self.sets.intern(offer.resources.clone());
        let resources = self.sets.intern(offer.resources.union(&record.resources));
        // An entry that changed its id leaves the list of the former one.
        self.unlist_renamed(node, &offer.name, &offer.version);
        self.insert(Arc::new(Candidate::new(offer, own_resources, resources, peer, local)));
    }

    /// `node` no longer offers it.
    pub fn remove_function(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        name: &FunctionName,
        version: &FunctionVersion,
    ) {
        let Some(record) = self.nodes.get(&node) else { return };
        if record.peer.incarnation() != incarnation {
            return;
        }
        self.unlist_renamed(node, name, version);
        let shard = Arc::make_mut(&mut self.shards[shard_of(name)]);
        let Some(named) = shard.get_mut(name).map(Arc::make_mut) else { return };
        self.changed |= named.remove(node, name, version).is_some();
        let (gone, empty) = (named.of_node(node, name).next().is_none(), named.is_empty());
        if empty {
            shard.remove(name);
        }
        if gone && let Some(record) = self.nodes.get_mut(&node) {
            record.names.remove(name);
        }
    }

    /// One function of a node.
    pub fn function(
        &self,
        node: NodeId,
        name: &FunctionName,
        version: &FunctionVersion,
    ) -> Option<&Arc<Candidate>> {
        self.named(name)?.find(node, name, version)
    }

    /// All functions of `node`, in order of names.
    pub fn functions(&self, node: NodeId) -> impl Iterator<Item = &Arc<Candidate>> {
        let names = self.nodes.get(&node).into_iter().flat_map(|record| &record.names);
        names.flat_map(move |name| {
            self.named(name).into_iter().flat_map(move |named| named.of_node(node, name))
        })
    }

    /// Everyone who offers `name`, dead ones included, the highest version first.
    pub fn candidates(&self, name: &FunctionName) -> impl Iterator<Item = &Arc<Candidate>> {
        self.named(name).into_iter().flat_map(|named| named.candidates())
    }

    /// Every name that somebody offers, in no order.
    pub fn names(&self) -> impl Iterator<Item = &FunctionName> {
        self.shards.iter().flat_map(|shard| shard.keys())
    }

    /// How `node` is shown.
    pub fn label(&self, node: NodeId) -> Option<&Arc<str>> {
        self.rows.get(&node).map(|row| &row.label)
    }

    /// That start of `node` offers nothing any more.
    pub fn remove_functions(&mut self, node: NodeId, incarnation: Incarnation) {
        let all: Vec<_> = self.functions(node).map(|c| (c.name.clone(), c.version.clone())).collect();
        for (name, version) in all {
            self.remove_function(node, incarnation, &name, &version);
        }
    }

    /// Everything of `node` goes, whatever its incarnation. The own node stays.
    pub fn drop_node(&mut self, node: NodeId) {
        let Some(record) = self.nodes.get(&node).filter(|record| !record.peer.is_own()) else { return };
        self.remove_functions(node, record.peer.incarnation());
        self.nodes.remove(&node);
        Arc::make_mut(&mut self.rows).remove(&node);
        self.changed = true;
    }

    /// True if something changed since the last snapshot.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The next snapshot.
    pub fn publish(&mut self) -> Arc<Snapshot> {
        self.version += 1;
        self.changed = false;
        Arc::new(Snapshot::new(
            self.version,
            self.cluster.clone(),
            Arc::clone(&self.own),
            self.shards.clone(),
            Arc::clone(&self.renamed),
            Arc::clone(&self.rows),
        ))
    }

    fn add_node(&mut self, peer: Arc<PeerState>, label: Arc<str>) {
        let node = peer.node();
        Arc::make_mut(&mut self.rows)
            .insert(node, NodeRow { peer: Arc::clone(&peer), label, identity: Identity::Declared });
        let resources = self.sets.intern(ResourceSet::EMPTY);
        self.nodes.insert(node, NodeRecord { peer, resources, names: BTreeSet::new() });
        self.changed = true;
    }

    fn named(&self, name: &FunctionName) -> Option<&Arc<Named>> {
        self.shards[shard_of(name)].get(name)
    }

    fn insert(&mut self, candidate: Arc<Candidate>) {
        self.changed = true;
        if candidate.id.as_str() != candidate.name.as_str() {
            let renamed = Arc::make_mut(&mut self.renamed).entry(candidate.id.clone()).or_default();
            Arc::make_mut(renamed).put(Arc::clone(&candidate));
        }
        let shard = Arc::make_mut(&mut self.shards[shard_of(&candidate.name)]);
        let named = shard.entry(candidate.name.clone()).or_default();
        Arc::make_mut(named).put(candidate);
    }

    fn unlist_renamed(&mut self, node: NodeId, name: &FunctionName, version: &FunctionVersion) {
        let Some(old) = self.named(name).and_then(|named| named.find(node, name, version)) else { return };
        let id = old.id.clone();
        if id.as_str() == name.as_str() || !self.renamed.contains_key(&id) {
            return;
        }
        let renamed = Arc::make_mut(&mut self.renamed);
        let empty = renamed.get_mut(&id).is_some_and(|named| {
            let named = Arc::make_mut(named);
            named.remove(node, name, version);
            named.is_empty()
        });
        if empty {
            renamed.remove(&id);
        }
    }
}
