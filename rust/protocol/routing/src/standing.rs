use std::fmt;

use mpreg_types::{MemberState, Scope, Selector, Wanted};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::interner::signature;
use crate::named::Member;

/// Why a candidate was not chosen, in the order in which the rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// As good as the chosen one.
    NotDrawn,
    /// No connection to it yet, and one with a connection is there.
    NotAtHand,
    /// A higher version is there.
    LowerVersion,
    /// An owner with the caller's own contract is there.
    OtherContract,
    /// It failed already, and another one is left.
    Tried,
    /// It does not answer at the moment, and one that does is there.
    Suspect,
    /// It failed again and again.
    CircuitOpen,
    /// It leaves.
    Draining,
    /// No connection to it.
    Unreachable,
    /// It is dead, as far as is known.
    Down,
    /// It said goodbye.
    Left,
    /// Only its own node may call it.
    Scope,
    /// It lacks a resource.
    Resources,
    /// The constraint does not take its version.
    Version,
}

impl Obstacle {
    /// In the words of an error message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotDrawn => "as good as the chosen one",
            Self::NotAtHand => "to be dialled first",
            Self::LowerVersion => "lower version",
            Self::OtherContract => "other signature",
            Self::Tried => "tried already",
            Self::Suspect => "suspect",
            Self::CircuitOpen => "circuit open",
            Self::Draining => "draining",
            Self::Unreachable => "not connected",
            Self::Down => "down",
            Self::Left => "left",
            Self::Scope => "local to its node",
            Self::Resources => "lacks a resource",
            Self::Version => "other version",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How good a usable candidate is, version and load aside; less is better. A bit per drawback, the gravest highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class(u8);

impl Class {
    pub(crate) const BEST: Self = Self(0);
    const OTHER_CONTRACT: u8 = 1;
    const TRIED: u8 = 2;
    const SUSPECT: u8 = 4;
    /// Filtered, unless nobody else is left: the only candidate is always tried.
    const CIRCUIT_OPEN: u8 = 8;
    /// The same for the own function of a node that drains, so that what is under way there can end its work.
    const DRAINING: u8 = 16;

    /// What keeps this class behind `chosen`, a better one.
    pub(crate) fn behind(self, chosen: Self) -> Obstacle {
        let extra = self.0 & !chosen.0;
        if extra & Self::DRAINING != 0 {
            Obstacle::Draining
        } else if extra & Self::CIRCUIT_OPEN != 0 {
            Obstacle::CircuitOpen
        } else if extra & Self::SUSPECT != 0 {
            Obstacle::Suspect
        } else if extra & Self::TRIED != 0 {
            Obstacle::Tried
        } else {
            Obstacle::OtherContract
        }
    }
}

/// What is asked, prepared once for many candidates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) selector: &'a Selector,
    pub(crate) context: &'a Context,
    signature: u64,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(selector: &'a Selector, context: &'a Context) -> Self {
        Self { selector, context, signature: signature(&selector.resources) }
    }

    /// The class of a candidate whose version fits, or why it cannot be chosen at all.
    pub(crate) fn standing(&self, member: &Member) -> Result<Class, Obstacle> {
        let (candidate, peer) = (&*member.candidate, &*member.candidate.peer);
        if member.signature & self.signature != self.signature
            || (self.signature != 0 && !candidate.resources.covers(&self.selector.resources))
        {
            return Err(Obstacle::Resources);
        }
        if candidate.scope == Scope::Local && !self.context.own_call {
            return Err(Obstacle::Scope);
        }
        let mut class = match peer.member() {
            MemberState::Alive => 0,
            MemberState::Suspect => Class::SUSPECT,
            MemberState::Down => return Err(Obstacle::Down),
            MemberState::Left => return Err(Obstacle::Left),
        };
        if peer.is_draining() {
            if !(peer.is_own() && self.context.own_call) {
                return Err(Obstacle::Draining);
            }
            class |= Class::DRAINING;
        }
        if !peer.is_at_hand() && !peer.is_dialled_on_demand() {
            return Err(Obstacle::Unreachable);
        }
        if peer.circuit_is_open(self.context.now) {
            class |= Class::CIRCUIT_OPEN;
        }
        if self.selector.tried.contains(&peer.node()) {
            class |= Class::TRIED;
        }
        if self.selector.contract.as_ref().is_some_and(|contract| *contract != candidate.contract) {
            class |= Class::OTHER_CONTRACT;
        }
        Ok(Class(class))
    }

    /// True if the constraint takes its version.
    pub(crate) fn takes_version(&self, member: &Member) -> bool {
        self.selector.version.matches(&member.candidate.version)
    }

    /// True unless another function of this name is meant.
    pub(crate) fn means(&self, member: &Member) -> bool {
        match &self.selector.function {
            Wanted::Name(_) => true,
            Wanted::Id(id) => member.candidate.id == *id,
        }
    }
}
