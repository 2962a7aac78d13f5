use std::time::Duration;

use mpreg_types::{ContractHash, FunctionId, FunctionName, FunctionVersion, ResourceSet, Scope};

/// A function as its owner offers it: what the choice needs to know of a catalog entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Name it is called by.
    pub name: FunctionName,
    /// Identity across renames.
    pub id: FunctionId,
    /// Its version.
    pub version: FunctionVersion,
    /// What it has at hand beyond its node's resources.
    pub resources: ResourceSet,
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
}

impl Offer {
    /// `name` in version 1.0.0 with nothing special about it.
    pub fn new(name: FunctionName, contract: ContractHash) -> Self {
        Self {
            id: FunctionId::from(&name),
            name,
            version: FunctionVersion::ONE,
            resources: ResourceSet::EMPTY,
            contract,
            scope: Scope::default(),
            idempotent: false,
            streaming: false,
            timeout: None,
        }
    }
}
