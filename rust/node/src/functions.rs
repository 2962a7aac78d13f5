use std::any::Any;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mpreg_routing::Slots;
use mpreg_types::{
    Builtin, ContractHash, ErrorBody, ErrorCode, ForeignText, FunctionId, FunctionName, FunctionVersion,
    ResourceSet, Scope, Tag,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::dispatch::Dispatcher;

/// A function as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// True: it answers with a stream of items.
    pub streaming: bool,
}

impl FunctionSpec {
    /// What every node has and no catalog lists.
    pub(crate) fn builtin(which: Builtin) -> Self {
        Self {
            id: which.id(),
            name: which.name(),
            version: FunctionVersion::ONE,
            resources: ResourceSet::EMPTY,
            tags: BTreeMap::new(),
            scope: Scope::Local,
            idempotent: true,
            concurrency: None,
            timeout: None,
            contract: ContractHash::of(""),
            signature: ForeignText::default(),
            doc: ForeignText::default(),
            threaded: false,
            streaming: false,
        }
    }
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

/// Handles whose functions are copied together when one of them changes.
const PAGE: u64 = 64;

type Page = BTreeMap<u64, Arc<LocalEntry>>;

/// The functions of a node by the handle that the snapshot names them with. Read on every call, changed rarely: readers
/// get an immutable map, and a change copies one page of it, so that ten thousand functions cost no more each than ten.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    pages: ArcSwap<BTreeMap<u64, Arc<Page>>>,
    /// Held while the pages change.
    handles: Mutex<BTreeMap<(FunctionName, FunctionVersion), u64>>,
}

impl Functions {
    pub(crate) fn find(&self, handle: u64) -> Option<Arc<LocalEntry>> {
        self.pages.load().get(&(handle / PAGE))?.get(&handle).cloned()
    }

    /// The handle of a function by name and version.
    pub(crate) fn handle_of(&self, name: &FunctionName, version: &FunctionVersion) -> Option<u64> {
        self.handles.lock().get(&(name.clone(), version.clone())).copied()
    }

    pub(crate) fn all(&self) -> Vec<(u64, Arc<LocalEntry>)> {
        let pages = self.pages.load();
        pages.values().flat_map(|page| page.iter()).map(|(handle, entry)| (*handle, entry.clone())).collect()
    }

    /// False, and nothing changes, if one of that name and version is there.
    pub(crate) fn insert(&self, handle: u64, entry: &Arc<LocalEntry>) -> bool {
        let mut handles = self.handles.lock();
        let Entry::Vacant(place) = handles.entry((entry.spec.name.clone(), entry.spec.version.clone()))
        else {
            return false;
        };
        place.insert(handle);
        self.change(handle, |page| {
            page.insert(handle, entry.clone());
        });
        true
    }

    pub(crate) fn remove(&self, handle: u64) {
        let mut handles = self.handles.lock();
        let Some(entry) = self.find(handle) else { return };
        handles.remove(&(entry.spec.name.clone(), entry.spec.version.clone()));
        self.change(handle, |page| {
            page.remove(&handle);
        });
    }

    /// Changes the page of `handle`; for the holder of the lock.
    fn change(&self, handle: u64, change: impl FnOnce(&mut Page)) {
        let mut pages = BTreeMap::clone(&self.pages.load());
        let page = pages.entry(handle / PAGE).or_default();
        change(Arc::make_mut(page));
        if page.is_empty() {
            pages.remove(&(handle / PAGE));
        }
        self.pages.store(Arc::new(pages));
    }
}

/// For a call that reached the node after its function was removed.
pub(crate) fn removed() -> ErrorBody {
    ErrorBody::new(
        ErrorCode::FunctionNotFound,
        "the function was removed from this node a moment ago; call again",
    )
}
