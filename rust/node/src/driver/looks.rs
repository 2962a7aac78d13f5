//! Views of the mesh: answered at once where they can be, kept where they wait (`wait_for`, `watch`).

use std::sync::Arc;

use bytes::Bytes;
use mpreg_engine::{CatalogQuery, ChangeKind, FunctionRow, WatchToken};
use mpreg_routing::Context;
use mpreg_transport::Connection;
use mpreg_types::{
    Builtin, ClusterId, ConnectionId, ContractHash, ErrorCode, Executed, FunctionId, FunctionName,
    Incarnation, NamePattern, NodeId, ResourceSet, Scope, Selector, StreamId, Target, Time,
    VersionConstraint, Wanted, WantedCluster,
};
use mpreg_wire::Role;
use serde::{Deserialize, Serialize};

use super::Driver;
use super::look_replies::LookReplies;
use crate::caller::End;
use crate::client::nil;
use crate::error::NodeError;
use crate::look::{CandidateRow, decode_question};
use crate::views::{ChangeView, ChangesView, DescriptionView, EntryView, ExplanationView, MemberView};
use crate::worker_offer;

/// Looks that wait at one time, per node.
const WAITING_MAX: usize = 10_000;
/// How long a `watch` waits for news before it answers that there are none.
const WATCH_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Who asked.
pub(super) enum Asker {
    /// A caller of this node itself.
    Own(End),
    /// A client.
    Client(Arc<Connection>, StreamId),
}

impl Asker {
    /// A caller of this node itself, or a worker of it.
    fn is_of_this_node(&self) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Client(connection, _) => connection.peer().role == Role::Worker,
        }
    }
}

/// What a caller asks candidates for, as Python writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Selection {
    name: Option<String>,
    id: Option<String>,
    version: Option<String>,
    resources: Vec<String>,
    cluster: Option<String>,
    contract: Option<String>,
    sticky: Option<String>,
    nodes: Option<usize>,
}

impl Selection {
    fn selector(&self) -> Result<Selector, NodeError> {
        let function = match (&self.name, &self.id) {
            (Some(name), _) => Wanted::Name(FunctionName::parse(name)?),
            (None, Some(id)) => Wanted::Id(FunctionId::parse(id)?),
            (None, None) => return Err(NodeError::config("a function's name or id is missing")),
        };
        Ok(Selector {
            version: self.version.as_deref().map_or(Ok(VersionConstraint::ANY), VersionConstraint::parse)?,
            resources: ResourceSet::parse(self.resources.iter().map(String::as_str))?,
            cluster: match self.cluster.as_deref() {
                None => WantedCluster::OwnFirst,
                Some("*") => WantedCluster::Any,
                Some(cluster) => WantedCluster::One(ClusterId::parse(cluster)?),
            },
            contract: self.contract.as_deref().map(ContractHash::of),
            sticky: self.sticky.as_deref().map(|text| xxhash_rust::xxh3::xxh3_64(text.as_bytes())),
            ..Selector::new(function)
        })
    }
}

enum Waiting {
    /// Until there are that many candidates.
    Candidates { selector: Box<Selector>, nodes: usize, as_rows: bool },
    /// Until something matching changes.
    Changes { question: WatchQuestion },
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WatchQuestion {
    pattern: String,
    token: Option<String>,
}

struct Kept {
    waiting: Waiting,
    until: Time,
    own_call: bool,
    asker: Asker,
}

/// The looks that wait.
#[derive(Default)]
pub(super) struct Looks {
    kept: Vec<Kept>,
    /// Something changed since they were last tried.
    news: bool,
    replies: LookReplies,
}

impl Looks {
    /// Something changed: whoever waits is to be tried again.
    pub(super) fn note_news(&mut self) {
        self.news = true;
    }

    fn answer(&self, asker: Asker, answer: Result<Bytes, NodeError>) {
        match asker {
            Asker::Own(end) => end(answer),
            Asker::Client(connection, token) => self.replies.send(connection, token, answer),
        }
    }

    /// When the first waiting look is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.kept.iter().map(|kept| kept.until).min()
    }

    /// A client is gone: nobody waits for its answers.
    pub(super) fn forget_client(&mut self, id: ConnectionId) {
        self.kept
            .retain(|kept| !matches!(&kept.asker, Asker::Client(connection, _) if connection.id() == id));
    }

    /// The node ends.
    pub(super) fn fail_all(&mut self, why: &str) {
        for kept in std::mem::take(&mut self.kept) {
            self.answer(kept.asker, Err(NodeError::connection_lost(why)));
        }
    }
}

/// An answer now, or what it waits for.
enum Outcome {
    Now(Bytes),
    Later(Waiting),
}

fn encoded<T: Serialize>(view: &T) -> Outcome {
    Outcome::Now(mpreg_wire::message::encode(view).into())
}

fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, NodeError> {
    rmp_serde::from_slice(body)
        .map_err(|error| NodeError::config(format!("the question cannot be read: {error}")))
}

impl Driver {
    /// A client's question.
    pub(super) fn client_look(&mut self, connection: Arc<Connection>, token: StreamId, payload: &[u8]) {
        let asker = Asker::Client(connection, token);
        match decode_question(payload) {
            Ok(question) if question.verb.starts_with(worker_offer::PREFIX) => {
                match self.worker_asks(&asker, &question.verb, &question.body) {
                    Ok(true) => self.looks.answer(asker, Ok(nil())),
                    // Its leave is answered later.
                    Ok(false) => {}
                    Err(error) => self.looks.answer(asker, Err(error)),
                }
            }
            Ok(question) => {
                let timeout = std::time::Duration::from_millis(question.timeout_ms);
                let until = self.now() + timeout;
                self.look(&question.verb, &question.body, until, asker);
            }
            Err(error) => self.looks.answer(asker, Err(error)),
        }
    }

    /// Answers, or keeps the question until it can be answered.
    pub(super) fn look(&mut self, verb: &str, body: &[u8], until: Time, asker: Asker) {
        let own_call = asker.is_of_this_node();
        match self.view(verb, body, own_call) {
            Ok(Outcome::Now(answer)) => self.looks.answer(asker, Ok(answer)),
            Err(error) => self.looks.answer(asker, Err(error)),
            Ok(Outcome::Later(waiting)) if self.looks.kept.len() < WAITING_MAX => {
                let until = match &waiting {
                    Waiting::Changes { .. } => until.min(self.now() + WATCH_MAX),
                    Waiting::Candidates { selector, as_rows: true, .. } => {
                        until.min(self.now() + selector.wait)
                    }
                    Waiting::Candidates { .. } => until,
                };
                self.looks.kept.push(Kept { waiting, until, own_call, asker });
                self.looks.news = true;
            }
            Ok(Outcome::Later(_)) => {
                let why = format!("{WAITING_MAX} views wait at this node already");
                self.looks.answer(asker, Err(NodeError::new(ErrorCode::Overloaded, why)));
            }
        }
    }

    fn view(&mut self, verb: &str, body: &[u8], own_call: bool) -> Result<Outcome, NodeError> {
        Ok(match verb {
            "ping" => {
                encoded(&PingView { node: self.shared.label.clone(), version: env!("CARGO_PKG_VERSION") })
            }
            "members" => encoded(&self.members()),
            "catalog" => self.catalog(&read(body)?, own_call)?,
            "describe" => self.describe(&read(body)?, own_call)?,
            "explain" => {
                let selector = read::<Selection>(body)?.selector()?;
                let snapshot = self.shared.snapshot.load();
                let explanation = snapshot.explain(&selector, &self.context(own_call));
                encoded(&ExplanationView::new(&explanation, snapshot.version(), &self.shared.label))
            }
            "wait_for" => {
                let selection: Selection = read(body)?;
                let nodes = selection.nodes.unwrap_or(1).max(1);
                Outcome::Later(Waiting::Candidates {
                    selector: Box::new(selection.selector()?),
                    nodes,
                    as_rows: false,
                })
            }
            "candidates" => match mpreg_wire::message::decode::<Target>(body) {
                Ok(Target::Select(Selector { function: Wanted::Name(name), .. })) if name.is_reserved() => {
                    let builtin = Builtin::find(&FunctionId::from(&name));
                    let unknown = || NodeError::config(format!("this node has no builtin function {name}"));
                    Outcome::Now(self.builtin_of_all(builtin.ok_or_else(unknown)?))
                }
                Ok(Target::Select(selector)) => Outcome::Later(Waiting::Candidates {
                    selector: Box::new(selector),
                    nodes: 1,
                    as_rows: true,
                }),
                _ => return Err(NodeError::config("call_all needs a function, not one candidate")),
            },
            "watch" => {
                let question: WatchQuestion = read(body)?;
                // Who cannot resume gets everything at once: what changes from now on is news to them.
                let changes = self.changes(&question, own_call);
                if changes.reset { encoded(&changes) } else { Outcome::Later(Waiting::Changes { question }) }
            }
            other => {
                return Err(NodeError::config(format!("this node has no view {other:?}: it may be older")));
            }
        })
    }

    /// Tries the looks that wait, if something changed or one of them is due.
    pub(super) fn try_looks(&mut self, now: Time) {
        let due = self.looks.next().is_some_and(|next| next <= now);
        if !due && !std::mem::take(&mut self.looks.news) {
            return;
        }
        self.looks.news = false;
        for kept in std::mem::take(&mut self.looks.kept) {
            match self.ready(&kept) {
                Some(answer) => self.looks.answer(kept.asker, Ok(answer)),
                None if kept.until <= now => {
                    let answer = self.in_vain(&kept);
                    self.looks.answer(kept.asker, answer);
                }
                None => self.looks.kept.push(kept),
            }
        }
    }

    fn ready(&self, kept: &Kept) -> Option<Bytes> {
        match &kept.waiting {
            Waiting::Candidates { selector, nodes, as_rows } => {
                let snapshot = self.shared.snapshot.load();
                let found = snapshot.matching(selector, &self.context(kept.own_call)).ok()?;
                if found.len() < *nodes {
                    return None;
                }
                let label = |node| snapshot.label(node).map(ToString::to_string).unwrap_or_default();
                let rows = found.iter().map(|choice| CandidateRow {
                    node: label(choice.candidate.node()),
                    target: choice.candidate.direct().target.clone(),
                });
                let rows: Vec<CandidateRow> = rows.collect();
                Some(if *as_rows {
                    mpreg_wire::message::encode(&rows).into()
                } else {
                    let nodes = rows.into_iter().map(|row| row.node).collect();
                    mpreg_wire::message::encode(&NodesView { nodes }).into()
                })
            }
            Waiting::Changes { question } => {
                let view = self.changes(question, kept.own_call);
                (view.reset || !view.changes.is_empty()).then(|| mpreg_wire::message::encode(&view).into())
            }
        }
    }

    /// The answer to a look whose time is over.
    fn in_vain(&self, kept: &Kept) -> Result<Bytes, NodeError> {
        match &kept.waiting {
            Waiting::Changes { question } => {
                Ok(mpreg_wire::message::encode(&self.changes(question, kept.own_call)).into())
            }
            Waiting::Candidates { selector, as_rows, .. } => {
                let snapshot = self.shared.snapshot.load();
                let context = self.context(kept.own_call);
                let missing = mpreg_routing::NoCandidate::NotFound.describe(&snapshot, selector, &context);
                let code = if *as_rows { missing.code } else { ErrorCode::DeadlineExceeded };
                Err(NodeError::new(code, missing.message.as_str()))
            }
        }
    }

    fn context(&self, own_call: bool) -> Context {
        Context { own_call, now: self.now(), random: 0 }
    }

    fn members(&self) -> Vec<MemberView> {
        let cluster = &self.shared.config.cluster;
        self.engine.borrow().members().iter().map(|row| MemberView::new(row, cluster)).collect()
    }

    fn catalog(&self, question: &CatalogQuestion, own: bool) -> Result<Outcome, NodeError> {
        match question.kind.as_deref() {
            Some("node") => return Ok(encoded(&self.members())),
            None | Some("function") => {}
            // Kinds of later versions: nothing of them is here.
            Some("queue" | "topic" | "cache") => return Ok(encoded(&Vec::<EntryView>::new())),
            Some(other) => {
                return Err(NodeError::config(format!(
                    "{other:?} is no kind: function, node, queue, topic or cache"
                )));
            }
        }
        let elsewhere =
            question.cluster.as_ref().is_some_and(|asked| asked != self.shared.config.cluster.as_str());
        if elsewhere {
            return Ok(encoded(&Vec::<EntryView>::new()));
        }
        let query = CatalogQuery {
            function: question.function.as_deref().map(NamePattern::parse).transpose()?,
            resources: ResourceSet::parse(question.resources.iter().map(String::as_str))?,
            own,
        };
        let rows: Vec<EntryView> = self.engine.borrow().catalog(&query).iter().map(EntryView::from).collect();
        Ok(encoded(&rows))
    }

    fn describe(&self, question: &DescribeQuestion, own: bool) -> Result<Outcome, NodeError> {
        let name = FunctionName::parse(&question.name)?;
        let query = CatalogQuery {
            function: Some(NamePattern::parse(&question.name)?),
            own,
            ..CatalogQuery::default()
        };
        let entries = self.engine.borrow().catalog(&query);
        let found = self.engine.borrow().describe(&name, own, self.now());
        let found = found.map_err(|missing| NodeError { body: missing, executed: Executed::No })?;
        // Somebody offers it, so there is a version.
        Ok(DescriptionView::new(&found, &entries).as_ref().map_or_else(|| Outcome::Now(nil()), encoded))
    }

    /// What changed after the question's token; everything as "added" where that cannot be told.
    fn changes(&self, question: &WatchQuestion, own: bool) -> ChangesView {
        let engine = self.engine.borrow();
        let pattern = NamePattern::parse(&question.pattern).ok();
        let wanted =
            |name: &FunctionName| pattern.as_ref().is_none_or(|pattern| pattern.matches(name.as_str()));
        let latest = encode_token(engine.watch_token());
        let since = question.token.as_deref().and_then(decode_token).map(|token| engine.changes_since(token));
        if let Some(Ok(changes)) = since {
            let seen = |row: &FunctionRow| (own || row.scope != Scope::Local) && wanted(&row.name);
            let changes = changes.into_iter().filter(|change| seen(&change.function));
            let changes =
                changes.map(|change| ChangeView { what: change.change, entry: (&change.function).into() });
            return ChangesView { token: latest, reset: false, changes: changes.collect() };
        }
        let query = CatalogQuery { function: pattern.clone(), own, ..CatalogQuery::default() };
        let rows = engine.catalog(&query);
        let changes = rows.iter().map(|row| ChangeView { what: ChangeKind::Added, entry: row.into() });
        ChangesView { token: latest, reset: true, changes: changes.collect() }
    }
}

fn encode_token(token: WatchToken) -> String {
    format!("{}-{:x}-{:x}", token.node, token.incarnation.0, token.sequence)
}

fn decode_token(text: &str) -> Option<WatchToken> {
    let mut parts = text.split('-');
    let (node, incarnation, sequence) = (parts.next()?, parts.next()?, parts.next()?);
    let mut bytes = [0_u8; 16];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(node.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(WatchToken {
        node: NodeId::from_bytes(bytes),
        incarnation: Incarnation(u64::from_str_radix(incarnation, 16).ok()?),
        sequence: u64::from_str_radix(sequence, 16).ok()?,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CatalogQuestion {
    kind: Option<String>,
    function: Option<String>,
    resources: Vec<String>,
    cluster: Option<String>,
}

#[derive(Debug, Deserialize)]
struct DescribeQuestion {
    name: String,
}

#[derive(Serialize)]
struct PingView {
    node: String,
    version: &'static str,
}

#[derive(Serialize)]
struct NodesView {
    nodes: Vec<String>,
}
