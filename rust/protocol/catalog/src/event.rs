use std::collections::BTreeSet;
use std::sync::Arc;

use mpreg_types::{Incarnation, MemberState, NodeId, Signed, Verified};
use serde::{Deserialize, Serialize};

use crate::{Digest, EntryKey, EntryValue, Refusal, Root, WantRow};

/// What happens to a catalog.
#[derive(Debug)]
pub enum Input {
    /// The node offers `value`, or offers it in another form. Fails with a typed error.
    Put {
        /// What is offered; its key follows from it.
        value: EntryValue,
    },
    /// The node no longer offers `key`. Fails with a typed error.
    Remove {
        /// What is withdrawn.
        key: EntryKey,
    },
    /// Batches came from a peer as [`Message::Batches`], and their signatures hold. Hand them in in the order in which
    /// they came, also relative to that peer's messages.
    Batches {
        /// The peer that sent them.
        from: NodeId,
        /// What it sent.
        batches: Vec<Verified<Signed>>,
    },
    /// Any other message came from a peer.
    Message {
        /// The peer that sent it.
        from: NodeId,
        /// What it sent.
        message: Message,
    },
    /// A connection to a member of this cluster stands.
    Connected {
        /// The node at its other end.
        peer: NodeId,
    },
    /// A connection to a member stands that was made for a probe or a call: no occasion to compare catalogs.
    Attached {
        /// The node at its other end.
        peer: NodeId,
    },
    /// The last connection to it is gone.
    Disconnected {
        /// The node at its other end.
        peer: NodeId,
    },
    /// Which peers get news. `None`, as at the start: full mesh, an owner pushes to all its peers and nobody forwards.
    /// `Some`: these peers, and what is news here is forwarded to them once.
    View {
        /// The active view.
        active: Option<BTreeSet<NodeId>>,
    },
    /// Membership's view of a node; to be told of every change. Lower incarnations than known are ignored.
    Member {
        /// The node.
        node: NodeId,
        /// Its start.
        incarnation: Incarnation,
        /// How it is.
        state: MemberState,
    },
    /// Membership no longer remembers the node at all.
    Forget {
        /// The node.
        node: NodeId,
    },
    /// A timer that was set is due. Early, late and doubled timers do no harm.
    Timer(Timer),
}

/// What a catalog wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send to one peer.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Send the same to several peers; encode it once.
    SendMany {
        /// To whom.
        to: Vec<NodeId>,
        /// What.
        message: Message,
    },
    /// Hand `timer` back at `at`; an earlier setting of the same timer no longer matters.
    SetTimer {
        /// Which.
        timer: Timer,
        /// When.
        at: mpreg_types::Time,
    },
    /// Something that others want to know.
    Event(Event),
}

/// What changed. Whoever follows all events holds exactly the entries of the owners that are shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An entry is new or changed. Own entries come too, at once.
    Put {
        /// Whose.
        owner: NodeId,
        /// Of which start.
        incarnation: Incarnation,
        /// Which entry.
        key: EntryKey,
        /// What it says.
        value: Arc<EntryValue>,
        /// Version of its last change.
        version: u64,
    },
    /// An entry is gone.
    Removed {
        /// Whose.
        owner: NodeId,
        /// Of which start.
        incarnation: Incarnation,
        /// Which entry.
        key: EntryKey,
        /// Version that removed it, or of the snapshot that no longer has it.
        version: u64,
    },
    /// The owner is alive and its entries count, those told of before it was hidden too; what changed meanwhile follows
    /// as `Put` and `Removed`. Comes before the first entry of an owner.
    OwnerShown {
        /// Whose.
        owner: NodeId,
        /// Of which start.
        incarnation: Incarnation,
    },
    /// The owner is down: its entries do not count, and come back with [`Event::OwnerShown`].
    OwnerHidden {
        /// Whose.
        owner: NodeId,
        /// Of which start.
        incarnation: Incarnation,
    },
    /// Everything of this owner's start is gone for good.
    OwnerDropped {
        /// Whose.
        owner: NodeId,
        /// Of which start.
        incarnation: Incarnation,
    },
    /// Something a peer sent was not taken; also counted. [`Refusal::NotOurs`] deserves a loud warning.
    Refused {
        /// Who sent it.
        from: NodeId,
        /// Whose log it was, where that is known.
        owner: Option<NodeId>,
        /// Why.
        refusal: Refusal,
    },
}

/// What a catalog wants to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Own changes are to be signed and sent.
    Cut,
    /// A random peer is to be compared with.
    AntiEntropy,
    /// Members came back, perhaps with a part of the mesh behind them: the active view is to be compared with.
    Reunion,
    /// Something missing is to be asked for, or an answer is overdue.
    Want,
    /// A log that was kept in hope is to be dropped.
    Expire,
}

/// What catalogs say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Signed batches, as their owners made them. The receiver checks the signatures and hands them in as
    /// [`Input::Batches`].
    Batches(Vec<Signed>),
    /// "Is your catalog as mine?" Silence means yes.
    Root(Root),
    /// "These are the roots of my parts", by the first byte of the owner, 256 times 8 bytes: answered by digests of those
    /// that differ.
    Parts(#[serde(with = "serde_bytes")] Vec<u8>),
    /// "This is how far I am."
    Digest(Digest),
    /// "Send me what I lack of these." At most 256 rows.
    Want(Vec<WantRow>),
    /// Ends the answer to a `Want`; `more`: there is more to ask for.
    Served {
        /// True if the answer was cut at its limit.
        more: bool,
    },
}
