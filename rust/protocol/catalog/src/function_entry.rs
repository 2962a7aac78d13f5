use std::collections::BTreeMap;
use std::time::Duration;

use mpreg_types::{
    ContractHash, ForeignText, FunctionId, FunctionName, FunctionVersion, ResourceSet, Scope, Tag,
};
use serde::{Deserialize, Serialize};

use crate::EntryKey;

/// A function that a node offers. Encoded by field name, so that later versions may add fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionEntry {
    /// Name it is called by.
    pub name: FunctionName,
    /// Identity it keeps across renames.
    pub id: FunctionId,
    /// Its version.
    pub version: FunctionVersion,
    /// What it has at hand beyond its node's resources; at most 64.
    #[serde(default, skip_serializing_if = "ResourceSet::is_empty")]
    pub resources: ResourceSet,
    /// Hash of parameters and return as written.
    pub contract: ContractHash,
    /// Parameters and return as text.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub signature: ForeignText,
    /// What it does.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub doc: ForeignText,
    /// Free annotation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<Tag, Tag>,
    /// Who may see and call it; never `Local`.
    #[serde(default)]
    pub scope: Scope,
    /// True: calling it twice is as good as once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
    /// True: it answers with many items.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub streaming: bool,
    /// What a call may take unless its caller says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

fn is_empty(text: &ForeignText) -> bool {
    text.as_str().is_empty()
}

impl FunctionEntry {
    /// `name` in version 1.0.0 with nothing special about it.
    pub fn new(name: FunctionName, contract: ContractHash) -> Self {
        Self {
            id: FunctionId::from(&name),
            name,
            version: FunctionVersion::ONE,
            resources: ResourceSet::EMPTY,
            contract,
            signature: ForeignText::default(),
            doc: ForeignText::default(),
            tags: BTreeMap::new(),
            scope: Scope::default(),
            idempotent: false,
            streaming: false,
            timeout: None,
        }
    }

    /// What identifies it among its owner's entries.
    pub fn key(&self) -> EntryKey {
        EntryKey::Function { name: self.name.clone(), version: self.version.clone() }
    }
}
