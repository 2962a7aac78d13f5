//! What queries answer with. The rows travel to clients and to Python by field name.

use std::collections::BTreeMap;
use std::time::Duration;

use mpreg_routing::Identity;
use mpreg_types::{
    ClusterId, ForeignText, FunctionId, FunctionName, FunctionVersion, Incarnation, LeaveReason, MemberState,
    NamePattern, NodeId, NodeName, ResourceSet, Scope, Tag,
};
use serde::{Deserialize, Serialize};

/// One version of a function on one node: Python's `FunctionEntry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRow {
    /// Name it is called by.
    pub name: FunctionName,
    /// Identity across renames.
    pub id: FunctionId,
    /// Its version.
    pub version: FunctionVersion,
    /// Who offers it: `cluster/name/instance`.
    pub node: String,
    /// Its cluster.
    pub cluster: ClusterId,
    /// The function's and its node's.
    pub resources: ResourceSet,
    /// Free annotation.
    pub tags: BTreeMap<Tag, Tag>,
    /// Who may see and call it.
    pub scope: Scope,
    /// Parameters and return as text.
    pub signature: ForeignText,
    /// What it does.
    pub doc: ForeignText,
    /// Who offers it, by identity.
    pub node_id: NodeId,
    /// True: calling it twice is as good as once.
    pub idempotent: bool,
    /// True: it answers with many items.
    pub streaming: bool,
    /// What a call may take unless its caller says otherwise.
    pub timeout: Option<Duration>,
}

impl FunctionRow {
    /// Bytes it takes in memory, roughly and not too little.
    pub(crate) fn weight(&self) -> usize {
        512 + self.signature.as_str().len()
            + self.doc.as_str().len()
            + 256 * (self.resources.len() + self.tags.len())
    }
}

/// Which functions to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CatalogQuery {
    /// Names; all if not given.
    pub function: Option<NamePattern>,
    /// What the function and its node must have at hand.
    pub resources: ResourceSet,
    /// True: asked by the node itself, so functions of local scope are listed too.
    pub own: bool,
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// `name/instance`, or the `NodeId` until its facts are known.
    pub id: String,
    /// Its name, once its facts are known.
    pub name: Option<NodeName>,
    /// The part of its id after "/".
    pub instance: String,
    /// As membership sees it.
    pub state: MemberState,
    /// Why it left.
    pub reason: Option<LeaveReason>,
    /// Where it listens first.
    pub address: Option<String>,
    /// By identity.
    pub node_id: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
    /// How its name and cluster are proved.
    pub identity: Identity,
    /// True: it leaves and takes no new work.
    pub draining: bool,
    /// Its Python code stands still: where, as far as that could be seen.
    pub busy: Option<ForeignText>,
}

/// All about one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The name.
    pub name: FunctionName,
    /// One row per version, highest first, and per signature if owners differ.
    pub versions: Vec<VersionRow>,
}

/// One version of a function, whoever offers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// Which.
    pub version: FunctionVersion,
    /// Identity across renames.
    pub id: FunctionId,
    /// Parameters and return as text.
    pub signature: ForeignText,
    /// What it does.
    pub doc: ForeignText,
    /// True: calling it twice is as good as once.
    pub idempotent: bool,
    /// True: it answers with many items.
    pub streaming: bool,
    /// What a call may take unless its caller says otherwise.
    pub timeout: Option<Duration>,
    /// Who offers it, and with what at hand: `cluster/name/instance` to resources.
    pub offers: BTreeMap<String, ResourceSet>,
}
