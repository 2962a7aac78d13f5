use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mpreg_types::{
    ErrorBody, ErrorCode, FunctionName, Resource, ResourceSet, Scope, Selector, Wanted, WantedCluster,
    nearest,
};

use crate::named::Member;
use crate::standing::Asked;
use crate::{Context, Obstacle, Snapshot};

/// Nobody can be chosen. Small, because a call that waits gets one at every look; [`NoCandidate::describe`] makes the
/// error for the caller once the wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCandidate {
    /// Nobody matches, or nobody who matches can be used. May change at any moment.
    #[error("no live candidate")]
    NotFound,
    /// Another cluster is asked for, and no route leads there. Waiting does not help.
    #[error("no route to the cluster")]
    OtherCluster,
}

/// Most versions or resource sets that an error lists.
const LISTED_MAX: usize = 8;
/// Most names that are compared with a name that does not exist: a few milliseconds.
const COMPARED_MAX: usize = 10_000;

impl NoCandidate {
    /// True if a candidate may appear while the call waits.
    pub fn may_change(self) -> bool {
        self == Self::NotFound
    }

    /// The error for the caller: what was asked, what there is, and what to do next.
    pub fn describe(self, snapshot: &Snapshot, selector: &Selector, context: &Context) -> ErrorBody {
        match self {
            Self::OtherCluster => ErrorBody::new(
                ErrorCode::NoRoute,
                format!(
                    "no route from cluster {:?} for {}: this node has no link to another cluster; \
                     ask a node of that cluster, or leave out cluster=",
                    snapshot.cluster().as_str(),
                    asked_text(selector)
                ),
            ),
            Self::NotFound => {
                ErrorBody::new(ErrorCode::FunctionNotFound, not_found(snapshot, selector, context))
            }
        }
    }
}

/// `"shop.score" version >=1.2 with resources {gpu} in cluster "us"`.
pub(crate) fn asked_text(selector: &Selector) -> String {
    let mut text = match &selector.function {
        Wanted::Name(name) => format!("function \"{name}\""),
        Wanted::Id(id) => format!("function id \"{id}\""),
    };
    if !selector.version.is_any() {
        let _ = write!(text, " version {}", selector.version);
    }
    if !selector.resources.is_empty() {
        let _ = write!(text, " with resources {}", set_text(&selector.resources));
    }
    if let WantedCluster::One(cluster) = &selector.cluster {
        let _ = write!(text, " in cluster \"{cluster}\"");
    }
    text
}

fn not_found(snapshot: &Snapshot, selector: &Selector, context: &Context) -> String {
    let asked = Asked::new(selector, context);
    let visible = |member: &&Member| context.own_call || member.candidate.scope != Scope::Local;
    let members: Vec<&Member> = snapshot.members(selector).filter(visible).collect();
    let mut text = format!("no {} can be called", asked_text(selector));
    if members.is_empty() {
        text += &unknown_name(snapshot, selector, context);
        return text;
    }
    let mut obstacles: BTreeMap<Obstacle, usize> = BTreeMap::new();
    for member in &members {
        let fits = asked.takes_version(member);
        let obstacle = if fits { asked.standing(member).err() } else { Some(Obstacle::Version) };
        // A moment ago nobody was usable; one that is by now is no reason.
        let obstacle = obstacle.unwrap_or(Obstacle::NotDrawn);
        *obstacles.entry(obstacle).or_default() += 1;
    }
    let counted: Vec<String> =
        obstacles.iter().map(|(obstacle, count)| format!("{count} {obstacle}")).collect();
    let _ = write!(
        text,
        ": {} in cluster \"{}\" ({})",
        offers(members.len()),
        snapshot.cluster(),
        counted.join(", ")
    );
    if obstacles.contains_key(&Obstacle::Version) {
        let versions = members.iter().map(|member| &member.candidate.version).collect::<BTreeSet<_>>();
        let _ =
            write!(text, "; versions there: {}", list(versions.into_iter().rev().map(ToString::to_string)));
    }
    if obstacles.contains_key(&Obstacle::Resources) {
        let sets = members.iter().map(|member| &*member.candidate.resources).collect::<BTreeSet<_>>();
        let _ = write!(text, "; resources there: {}", list(sets.into_iter().map(set_text)));
    }
    text
}

fn unknown_name(snapshot: &Snapshot, selector: &Selector, context: &Context) -> String {
    let asked = match &selector.function {
        Wanted::Name(name) => name.as_str(),
        Wanted::Id(id) => id.as_str(),
    };
    let is_visible = |name: &&FunctionName| {
        !name.is_reserved() && snapshot.candidates(name).any(|c| context.own_call || c.scope != Scope::Local)
    };
    let names: Vec<&str> =
        snapshot.names().filter(is_visible).take(COMPARED_MAX).map(FunctionName::as_str).collect();
    let close: Vec<String> =
        nearest(asked, names.iter().copied()).iter().map(|name| format!("\"{name}\"")).collect();
    let cluster = snapshot.cluster();
    if names.is_empty() {
        format!(
            ": nobody in cluster \"{cluster}\" offers any function yet; is the node that offers it running?"
        )
    } else if close.is_empty() {
        format!(": nobody in cluster \"{cluster}\" offers it or anything with a similar name")
    } else {
        format!(": nobody in cluster \"{cluster}\" offers it; did you mean {}?", close.join(" or "))
    }
}

fn offers(count: usize) -> String {
    if count == 1 { "1 offer".to_owned() } else { format!("{count} offers") }
}

fn set_text(set: &ResourceSet) -> String {
    let names: Vec<&str> = set.iter().map(Resource::as_str).collect();
    format!("{{{}}}", names.join(", "))
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    let listed = items[..items.len().min(LISTED_MAX)].join(", ");
    match items.len().checked_sub(LISTED_MAX) {
        None | Some(0) => listed,
        Some(more) => format!("{listed} and {more} more"),
    }
}
