use std::cmp::Ordering;
use std::sync::Arc;

use mpreg_types::{ErrorBody, FunctionName, FunctionVersion, MemberState, NodeId, ResourceSet, Selector};
use serde::{Deserialize, Serialize};

use crate::named::Member;
use crate::no_candidate::asked_text;
use crate::standing::Asked;
use crate::{CircuitState, Context, Identity, Obstacle, Snapshot};

/// How a call gets to a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// It is this node.
    Own,
    /// Over the connection to it.
    Direct,
    /// There is none.
    None,
}

/// One candidate of an explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainedCandidate {
    /// `cluster/name/instance`.
    pub node: String,
    /// Its id.
    pub node_id: NodeId,
    /// How its cluster and name are proved.
    pub identity: Identity,
    /// Name of the function.
    pub name: FunctionName,
    /// Version it offers.
    pub version: FunctionVersion,
    /// What it has at hand.
    pub resources: ResourceSet,
    /// Calls at its node: reported, else the mean of all nodes. Less is better.
    pub score: f64,
    /// True if the score was reported lately.
    pub load_known: bool,
    /// Smoothed round trip in microseconds.
    pub rtt_us: Option<u32>,
    /// As membership sees its node.
    pub state: MemberState,
    /// Its circuit breaker.
    pub circuit: CircuitState,
    /// Why it was not chosen; `None`: it was.
    pub reason: Option<Obstacle>,
    /// The way to it.
    pub route: Route,
}

/// What a choice looked at and why it came out as it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was asked, in words.
    pub asked: String,
    /// The chosen node, `cluster/name/instance`.
    pub chosen: Option<String>,
    /// Everyone of that name, the chosen one first, then as near to it as they came. At most
    /// [`Explanation::CANDIDATES_MAX`].
    pub candidates: Vec<ExplainedCandidate>,
    /// How many did not fit in.
    pub left_out: usize,
    /// What a caller would be told if nobody was chosen.
    pub error: Option<ErrorBody>,
}

impl Explanation {
    /// Most candidates that are listed.
    pub const CANDIDATES_MAX: usize = 1_000;

    pub(crate) fn new(snapshot: &Snapshot, selector: &Selector, context: &Context) -> Self {
        let choice = snapshot.select(selector, context);
        let asked = Asked::new(selector, context);
        let chosen = choice.as_ref().ok().and_then(|choice| {
            snapshot.members(selector).find(|member| Arc::ptr_eq(&member.candidate, &choice.candidate))
        });
        let mut candidates: Vec<ExplainedCandidate> = match &choice {
            Err(reason) if !reason.may_change() => Vec::new(),
            _ => snapshot
                .members(selector)
                .map(|member| explain(snapshot, context, member, reason(&asked, member, chosen)))
                .collect(),
        };
        candidates.sort_by(nearness);
        let left_out = candidates.len().saturating_sub(Self::CANDIDATES_MAX);
        candidates.truncate(Self::CANDIDATES_MAX);
        Self {
            asked: asked_text(selector),
            chosen: chosen.map(|member| label(snapshot, member.candidate.node())),
            candidates,
            left_out,
            error: choice.err().map(|none| none.describe(snapshot, selector, context)),
        }
    }
}

fn explain(
    snapshot: &Snapshot,
    context: &Context,
    member: &Member,
    reason: Option<Obstacle>,
) -> ExplainedCandidate {
    let (candidate, peer) = (&member.candidate, &member.candidate.peer);
    ExplainedCandidate {
        node: label(snapshot, peer.node()),
        node_id: peer.node(),
        identity: snapshot.node(peer.node()).map_or(Identity::Declared, |row| row.identity),
        name: candidate.name.clone(),
        version: candidate.version.clone(),
        resources: ResourceSet::clone(&candidate.resources),
        score: f64::from(peer.load(context.now)),
        load_known: peer.known_load(context.now).is_some(),
        rtt_us: peer.rtt_us(),
        state: peer.member(),
        circuit: peer.circuit().state(context.now),
        reason,
        route: match (peer.is_own(), peer.connection()) {
            (true, _) => Route::Own,
            (false, Some(_)) => Route::Direct,
            (false, None) => Route::None,
        },
    }
}

/// Why `member` was not chosen.
fn reason(asked: &Asked<'_>, member: &Member, chosen: Option<&Member>) -> Option<Obstacle> {
    if !asked.takes_version(member) {
        return Some(Obstacle::Version);
    }
    let class = match asked.standing(member) {
        Err(obstacle) => return Some(obstacle),
        Ok(class) => class,
    };
    // Atomics may have changed since the choice; then "not drawn" is as good a word as any.
    let Some((chosen, best)) = chosen.and_then(|chosen| Some((chosen, asked.standing(chosen).ok()?))) else {
        return Some(Obstacle::NotDrawn);
    };
    if Arc::ptr_eq(&member.candidate, &chosen.candidate) {
        None
    } else if class > best {
        Some(class.behind(best))
    } else if member.candidate.version < chosen.candidate.version {
        Some(Obstacle::LowerVersion)
    } else if chosen.candidate.peer.is_at_hand() && !member.candidate.peer.is_at_hand() {
        Some(Obstacle::NotAtHand)
    } else {
        Some(Obstacle::NotDrawn)
    }
}

fn nearness(a: &ExplainedCandidate, b: &ExplainedCandidate) -> Ordering {
    a.reason
        .cmp(&b.reason)
        .then_with(|| b.version.cmp(&a.version))
        .then_with(|| a.score.total_cmp(&b.score))
        .then_with(|| a.node_id.cmp(&b.node_id))
}

fn label(snapshot: &Snapshot, node: NodeId) -> String {
    snapshot.label(node).map_or_else(|| node.to_string(), ToString::to_string)
}
