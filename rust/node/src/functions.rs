use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mpreg_routing::Slots;
use mpreg_types::{
    ContractHash, ErrorBody, ErrorCode, ForeignText, FunctionId, FunctionName, FunctionVersion, ResourceSet,
    Scope, Tag,
};

use crate::dispatch::{Dispatcher, InvocationKey};

/// A function as it is registered.
#[derive(Debug, Clone)]
pub struct FunctionSpec {
    /// Name it is called by.
    pub name: FunctionName,
    /// Identity across renames.
    pub id: FunctionId,
    /// Its version.
    pub version: FunctionVersion,
    /// What it has at hand beyond its node's resources.
    pub resources: ResourceSet,
    /// Free annotation.
    pub tags: BTreeMap<Tag, Tag>,
    /// Who may call it.
    pub scope: Scope,
    /// True: calling it twice is as good as once.
    pub idempotent: bool,
    /// Calls of it running at one time; `None` = only the node's limits.
    pub concurrency: Option<u32>,
    /// Longest time a call may take.
    pub timeout: Option<Duration>,
    /// Hash of its signature.
    pub contract: ContractHash,
    /// Its signature, for people.
    pub signature: ForeignText,
    /// Its documentation, for people.
    pub doc: ForeignText,
    /// True: it runs in a worker thread.
    pub threaded: bool,
}

/// A function of this process: how to run it.
pub(crate) struct LocalEntry {
    pub(crate) handler: Arc<dyn Any + Send + Sync>,
    pub(crate) dispatcher: Arc<dyn Dispatcher>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) spec: FunctionSpec,
}

impl fmt::Debug for LocalEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEntry").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

/// The functions of a node by the handle that the snapshot names them with. Read on every call, changed rarely.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    entries: ArcSwap<BTreeMap<u64, Arc<LocalEntry>>>,
}

impl Functions {
    pub(crate) fn find(&self, handle: u64) -> Option<Arc<LocalEntry>> {
        self.entries.load().get(&handle).cloned()
    }

    /// The handle of a function by name and version.
    pub(crate) fn handle_of(&self, name: &FunctionName, version: &FunctionVersion) -> Option<u64> {
        let same = |entry: &LocalEntry| entry.spec.name == *name && entry.spec.version == *version;
        self.entries.load().iter().find(|(_, entry)| same(entry)).map(|(handle, _)| *handle)
    }

    pub(crate) fn all(&self) -> Vec<(u64, Arc<LocalEntry>)> {
        self.entries.load().iter().map(|(handle, entry)| (*handle, entry.clone())).collect()
    }

    pub(crate) fn insert(&self, handle: u64, entry: &Arc<LocalEntry>) {
        self.change(|entries| {
            entries.insert(handle, entry.clone());
        });
    }

    pub(crate) fn remove(&self, handle: u64) {
        self.change(|entries| {
            entries.remove(&handle);
        });
    }

    /// Nobody waits for this call any more; whichever dispatcher has it stops it.
    pub(crate) fn cancel(&self, key: InvocationKey) {
        let mut told: Vec<*const ()> = Vec::new();
        for entry in self.entries.load().values() {
            let address = Arc::as_ptr(&entry.dispatcher).cast::<()>();
            if !told.contains(&address) {
                told.push(address);
                entry.dispatcher.cancel(key);
            }
        }
    }

    fn change(&self, change: impl Fn(&mut BTreeMap<u64, Arc<LocalEntry>>)) {
        self.entries.rcu(|entries| {
            let mut entries = BTreeMap::clone(entries);
            change(&mut entries);
            entries
        });
    }
}

/// For a call that reached the node after its function was removed.
pub(crate) fn removed() -> ErrorBody {
    ErrorBody::new(
        ErrorCode::FunctionNotFound,
        "the function was removed from this node a moment ago; call again",
    )
}
