//! The rows of a view, as Python reads them: named fields, nodes as `cluster/name/instance`.

use std::collections::BTreeMap;

use mpreg_engine::{ChangeKind, Description, FunctionRow, Identity, MemberRow};
use mpreg_routing::{Explanation, Obstacle, Route};
use mpreg_types::{ClusterId, ForeignText, MemberState, ResourceSet, Scope, Tag};
use serde::Serialize;

/// One version of a function on one node.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EntryView {
    name: String,
    id: String,
    version: String,
    node: String,
    cluster: String,
    resources: ResourceSet,
    tags: BTreeMap<Tag, Tag>,
    scope: Scope,
    signature: ForeignText,
    doc: ForeignText,
}

impl From<&FunctionRow> for EntryView {
    fn from(row: &FunctionRow) -> Self {
        Self {
            name: row.name.to_string(),
            id: row.id.to_string(),
            version: row.version.to_string(),
            node: row.node.clone(),
            cluster: row.cluster.to_string(),
            resources: row.resources.clone(),
            tags: row.tags.clone(),
            scope: row.scope,
            signature: row.signature.clone(),
            doc: row.doc.clone(),
        }
    }
}

/// A member that is alive and stands still is shown as busy: membership knows nothing of that, and need not.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
enum StateView {
    Known(MemberState),
    Busy(&'static str),
}

/// One member.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MemberView {
    id: String,
    name: String,
    instance: String,
    cluster: String,
    state: StateView,
    stack: Option<ForeignText>,
    reason: Option<String>,
    address: Option<String>,
    declared: bool,
}

impl MemberView {
    pub(crate) fn new(row: &MemberRow, cluster: &ClusterId) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.as_ref().map(ToString::to_string).unwrap_or_default(),
            instance: row.instance.clone(),
            cluster: cluster.to_string(),
            state: match (row.state, &row.busy) {
                (MemberState::Alive, Some(_)) => StateView::Busy("busy"),
                (state, _) => StateView::Known(state),
            },
            stack: row.busy.clone(),
            reason: row.reason.map(|reason| reason.to_string()),
            address: row.address.clone(),
            declared: row.identity == Identity::Declared,
        }
    }
}

/// All about one name.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DescriptionView {
    name: String,
    id: String,
    signature: ForeignText,
    doc: ForeignText,
    versions: Vec<String>,
    resources: Vec<String>,
    entries: Vec<EntryView>,
}

impl DescriptionView {
    /// The highest version speaks for the name; `None` if there is no version at all.
    pub(crate) fn new(description: &Description, entries: &[FunctionRow]) -> Option<Self> {
        let first = description.versions.first()?;
        let mut versions: Vec<String> =
            description.versions.iter().map(|row| row.version.to_string()).collect();
        versions.dedup();
        let resources: std::collections::BTreeSet<String> =
            entries.iter().flat_map(|row| row.resources.iter()).map(ToString::to_string).collect();
        Some(Self {
            name: description.name.to_string(),
            id: first.id.to_string(),
            signature: first.signature.clone(),
            doc: first.doc.clone(),
            versions,
            resources: resources.into_iter().collect(),
            entries: entries.iter().map(EntryView::from).collect(),
        })
    }
}

/// Why a call goes where it goes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ExplanationView {
    chosen: Option<String>,
    snapshot: u64,
    candidates: Vec<CandidateView>,
}

#[derive(Debug, Clone, Serialize)]
struct CandidateView {
    node: String,
    cluster: String,
    version: String,
    score: Option<f64>,
    chosen: bool,
    reason: String,
    route: Vec<String>,
}

impl ExplanationView {
    pub(crate) fn new(explanation: &Explanation, snapshot: u64, own: &str) -> Self {
        let candidates = explanation.candidates.iter().map(|candidate| CandidateView {
            cluster: candidate.node.split('/').next().unwrap_or_default().to_owned(),
            version: candidate.version.to_string(),
            score: matches!(candidate.reason, None | Some(Obstacle::NotDrawn)).then_some(candidate.score),
            chosen: candidate.reason.is_none(),
            reason: candidate.reason.as_ref().map_or_else(|| "chosen".to_owned(), ToString::to_string),
            route: match candidate.route {
                Route::Own => vec![own.to_owned()],
                Route::Direct => vec![own.to_owned(), candidate.node.clone()],
                Route::None => Vec::new(),
            },
            node: candidate.node.clone(),
        });
        Self { chosen: explanation.chosen.clone(), snapshot, candidates: candidates.collect() }
    }
}

/// News for a watcher.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ChangesView {
    pub(crate) token: String,
    pub(crate) reset: bool,
    pub(crate) changes: Vec<ChangeView>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ChangeView {
    pub(crate) what: ChangeKind,
    pub(crate) entry: EntryView,
}
