use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mpreg_types::{
    Builtin, ContractHash, FunctionId, FunctionName, FunctionVersion, Incarnation, NodeId, PreparedTarget,
    ResourceSet, Scope, Target,
};

use crate::{LocalFunction, Offer, PeerState};

/// One version of a function on one node.
#[derive(Debug)]
pub struct Candidate {
    /// Name it is called by.
    pub name: FunctionName,
    /// Identity across renames.
    pub id: FunctionId,
    /// Its version.
    pub version: FunctionVersion,
    /// What it has at hand: the function's and its node's.
    pub resources: Arc<ResourceSet>,
    /// Hash of its signature.
    pub contract: ContractHash,
    /// Who may call it.
    pub scope: Scope,
    /// True: calling it twice is as good as once.
    pub idempotent: bool,
    /// True: it answers with many items.
    pub streaming: bool,
    /// What a call may take unless its caller says otherwise.
    pub timeout: Option<Duration>,
    /// The process that owns it.
    pub peer: Arc<PeerState>,
    /// How to reach it in this process, if it is the own node's.
    pub local: Option<LocalFunction>,
    /// The function's own resources, kept for the day its node's change.
    pub(crate) own_resources: Arc<ResourceSet>,
    direct: OnceLock<Arc<PreparedTarget>>,
}

impl Candidate {
    pub(crate) fn new(
        offer: &Offer,
        own_resources: Arc<ResourceSet>,
        resources: Arc<ResourceSet>,
        peer: Arc<PeerState>,
        local: Option<LocalFunction>,
    ) -> Self {
        Self {
            name: offer.name.clone(),
            id: offer.id.clone(),
            version: offer.version.clone(),
            resources,
            contract: offer.contract,
            scope: offer.scope,
            idempotent: offer.idempotent,
            streaming: offer.streaming,
            timeout: offer.timeout,
            peer,
            local,
            own_resources,
            direct: OnceLock::new(),
        }
    }

    /// A builtin function of `peer`'s node: in no catalog, never chosen, called by who knows of it. Repeating it does no harm.
    pub fn builtin(which: Builtin, peer: Arc<PeerState>, local: Option<LocalFunction>) -> Self {
        Self {
            id: which.id(),
            name: which.name(),
            version: FunctionVersion::ONE,
            resources: Arc::default(),
            contract: ContractHash::of(""),
            scope: Scope::Local,
            idempotent: true,
            streaming: which.is_streaming(),
            timeout: None,
            peer,
            local,
            own_resources: Arc::default(),
            direct: OnceLock::new(),
        }
    }

    /// The same function after its node's resources changed.
    pub(crate) fn with_resources(&self, resources: Arc<ResourceSet>) -> Self {
        Self {
            name: self.name.clone(),
            id: self.id.clone(),
            version: self.version.clone(),
            resources,
            contract: self.contract,
            scope: self.scope,
            idempotent: self.idempotent,
            streaming: self.streaming,
            timeout: self.timeout,
            peer: Arc::clone(&self.peer),
            local: self.local.clone(),
            own_resources: Arc::clone(&self.own_resources),
            direct: self.direct.clone(),
        }
    }

    /// The node that owns it.
    pub fn node(&self) -> NodeId {
        self.peer.node()
    }

    /// Its start.
    pub fn incarnation(&self) -> Incarnation {
        self.peer.incarnation()
    }

    /// The target that names exactly this candidate; made at its first use, because most candidates are never called.
    pub fn direct(&self) -> &Arc<PreparedTarget> {
        self.direct.get_or_init(|| {
            Arc::new(PreparedTarget::new(Target::Direct {
                node: self.node(),
                incarnation: self.incarnation(),
                function: self.id.clone(),
                version: self.version.clone(),
            }))
        })
    }
}
