//! The five names every machine of the house shares: what goes in, what comes out, what happened, what to wake for,
//! what travels between two engines.

use std::sync::Arc;

use bytes::Bytes;
use mpreg_catalog::{FunctionEntry, Refusal};
use mpreg_membership::{Addresses, DialOutcome, DropReason, Loss};
use mpreg_routing::{LocalFunction, Snapshot};
use mpreg_types::{
    ConnectionId, ForeignText, FunctionName, FunctionVersion, Incarnation, Instance, LeaveReason, Load,
    NodeId, NodeKey, NodeName, Signed, Time, Verified,
};

use crate::{Change, Conflict};

/// What the driver tells the engine.
#[derive(Debug)]
pub enum Input {
    /// The node listens and shows itself: its facts and what was registered so far become visible to others.
    Start {
        /// Addresses to join through, one entry per seed.
        seeds: Vec<Addresses>,
    },
    /// What the seeds resolve to has changed; replaces the former list.
    Seeds {
        /// One entry per seed.
        seeds: Vec<Addresses>,
    },
    /// A handshake with a node of this cluster is done. Clients, workers and gateways are none of the engine's.
    Connected {
        /// Who it proved to be.
        peer: PeerNode,
        /// The connection.
        connection: ConnectionId,
        /// True if this side dialled.
        dialled: bool,
    },
    /// A connection of [`Input::Connected`] ended.
    Disconnected {
        /// The node at its other end.
        peer: NodeId,
        /// The connection.
        connection: ConnectionId,
        /// How it ended.
        loss: Loss,
    },
    /// How busy this node is from now on; others hear it with answers to their probes.
    Load {
        /// Calls running and waiting.
        load: Load,
    },
    /// The certificates of [`Output::CheckCertificates`] hold.
    Certified {
        /// The node.
        node: NodeId,
        /// Its start.
        incarnation: Incarnation,
        /// The name that was proved.
        name: NodeName,
    },
    /// A call has chosen that node, and there is no connection to it.
    Wanted {
        /// The node.
        node: NodeId,
    },
    /// A dial of [`Output::Dial`] ended. For a success [`Input::Connected`] comes as well, before or after.
    Dialled {
        /// Which dial.
        dial: DialId,
        /// How it ended.
        outcome: DialOutcome,
    },
    /// A membership frame, but for `Message::Leave`, which enters as [`Input::Left`] after its signature was checked.
    Membership {
        /// Peer on whose connection it came.
        from: NodeId,
        /// The frame.
        message: mpreg_membership::Message,
    },
    /// A leave whose signature holds.
    Left {
        /// Peer on whose connection it came.
        from: NodeId,
        /// The leave.
        leave: Verified<Signed>,
    },
    /// A catalog frame, but for `Message::Batches`, which enters as [`Input::Batches`]. In the order of arrival.
    Catalog {
        /// Peer on whose connection it came.
        from: NodeId,
        /// The frame.
        message: mpreg_catalog::Message,
    },
    /// Batches whose signatures hold.
    Batches {
        /// Peer on whose connection they came.
        from: NodeId,
        /// The batches.
        batches: Vec<Verified<Signed>>,
    },
    /// A timer of [`Output::SetTimer`] is due; late and stale ones are fine.
    Timer(Timer),
    /// The node offers a function; before [`Input::Start`] too. Visible to own callers with the next snapshot, which
    /// follows at once. Fails with a typed error.
    Register {
        /// What the catalog says of it. With local scope it never leaves this node.
        entry: FunctionEntry,
        /// How callers in this process reach it.
        local: LocalFunction,
    },
    /// The node no longer offers it. Fails with a typed error.
    Remove {
        /// Its name.
        name: FunctionName,
        /// Its version.
        version: FunctionVersion,
    },
    /// First word of the goodbye: others no longer choose this node. [`Input::Leave`] follows when its calls have ended.
    Drain,
    /// The node's Python code stands still (where, as far as that could be seen), or gets on again.
    Busy {
        /// The Python stack; `None`: it gets on.
        stack: Option<ForeignText>,
    },
    /// Last word of the goodbye: the signed leave goes to everybody, then the engine is silent. The driver flushes and
    /// closes the connections.
    Leave {
        /// Why.
        reason: LeaveReason,
    },
}

/// A node at the other end of a connection, as its handshake proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerNode {
    /// Which node.
    pub node: NodeId,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// Its name.
    pub name: NodeName,
    /// Its fixed instance, if it has one.
    pub instance: Option<Instance>,
    /// Where it says it can be dialled.
    pub addresses: Addresses,
    /// True without a certificate: cluster and name are what it says they are.
    pub declared: bool,
}

/// What the driver shall do.
#[derive(Debug)]
pub enum Output {
    /// Send a frame to a connected node, over the connection in its `PeerState`; before any data frame.
    Send {
        /// To whom.
        to: NodeId,
        /// The frame.
        message: Message,
    },
    /// Send one frame to several connected nodes; encode it once.
    SendMany {
        /// To whom.
        to: Vec<NodeId>,
        /// The frame.
        message: Message,
    },
    /// Hand `timer` back as [`Input::Timer`] at `at`. An earlier setting of the same timer no longer matters.
    SetTimer {
        /// What to hand back.
        timer: Timer,
        /// When.
        at: Time,
    },
    /// Dial all `addresses` in parallel, shake hands, answer with [`Input::Dialled`] within the membership
    /// configuration's `dial_timeout`.
    Dial {
        /// Names the dial in the answer.
        dial: DialId,
        /// Who should answer; `None` for a seed.
        expect: Option<NodeId>,
        /// Where.
        addresses: Addresses,
    },
    /// Close a connection now; [`Input::Disconnected`] for it is not needed.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why; the other side is told.
        reason: CloseReason,
    },
    /// A second connection to the same node, which both sides stop using: close it in order once nothing has been on
    /// it for a second, unless it is used again by then ([`Engine::is_used`](crate::Engine::is_used)).
    Retire {
        /// Which.
        connection: ConnectionId,
    },
    /// A connection that this side dialled for a probe or a call, and that nobody has needed for a while: close it in
    /// order, unless a call of either side is under way on it.
    CloseIdle {
        /// Which.
        connection: ConnectionId,
    },
    /// Check that the own CAs vouch for `name`, and that the certificate's holder delegated it to `key`; answer with
    /// [`Input::Certified`] if so, and not at all otherwise.
    CheckCertificates {
        /// Who says so.
        node: NodeId,
        /// Its start.
        incarnation: Incarnation,
        /// Its name.
        name: NodeName,
        /// Its public key.
        key: NodeKey,
        /// The chain (DER), end entity first.
        certificates: Vec<Bytes>,
        /// The word of the certificate's holder for `key`.
        delegation: Bytes,
    },
    /// Callers choose by this one from now on, and calls that wait for a candidate look again.
    Publish(Arc<Snapshot>),
    /// Something that others want to know.
    Event(Event),
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The node is held for dead; a fresh dial finds out.
    Down,
    /// A later start of the same node is known.
    OldIncarnation {
        /// The one known.
        known: Incarnation,
    },
    /// That start of the node has left.
    Left,
    /// As many members as allowed are known already.
    TooManyMembers,
}

impl From<DropReason> for CloseReason {
    fn from(reason: DropReason) -> Self {
        match reason {
            DropReason::Down => Self::Down,
            DropReason::OldIncarnation { known } => Self::OldIncarnation { known },
            DropReason::Left => Self::Left,
            DropReason::TooManyMembers => Self::TooManyMembers,
        }
    }
}

/// One dial; never reused but for the same question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialId {
    /// Membership wants the connection.
    Membership(mpreg_membership::DialId),
    /// Does that node still hold the instance that this one wants?
    Holder(NodeId),
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The node has started: it knows what its cluster knows, or is alone. Comes once.
    Joined {
        /// True: no seed was given, or none answered. Dialling goes on.
        alone: bool,
    },
    /// Something happened to a member; for the log.
    Member {
        /// Which node.
        node: NodeId,
        /// `name/instance`, or its `NodeId` until its facts are known.
        id: String,
        /// What happened.
        change: MemberChange,
    },
    /// It is known what a node is called; for the log. Comes once for each start, at about the time of
    /// [`MemberChange::Up`]; of one that wants the place of a living node only when that is gone.
    Introduced {
        /// Which node.
        node: NodeId,
        /// `name/instance`.
        id: String,
    },
    /// What is offered has changed; for watchers.
    Change(Change),
    /// Two owners offer different things under one name; for the log.
    Conflict(Conflict),
    /// Another living node has this node's name and fixed instance, and was there first: this one must end with an error
    /// that names it (draining and leaving first if it has joined).
    InstanceHeld {
        /// The holder.
        holder: NodeId,
        /// Both nodes' `name/instance`.
        id: String,
        /// Where the holder listens.
        address: Option<String>,
    },
    /// Another node wants this one's name and fixed instance, and has to give way; for the log.
    InstanceClaimed {
        /// The other one.
        by: NodeId,
        /// Both nodes' `name/instance`.
        id: String,
        /// Where it listens.
        address: Option<String>,
    },
    /// A newcomer wanted the name and fixed instance of another living node, and left again; for the log. Comes instead
    /// of [`Event::Introduced`] and of its leave.
    NewcomerRefused {
        /// The newcomer.
        node: NodeId,
        /// Both nodes' `name/instance`.
        id: String,
        /// Where the newcomer listened.
        address: Option<String>,
        /// Who has the place.
        holder: NodeId,
        /// Where the holder listens.
        holder_address: Option<String>,
    },
    /// A peer speaks of a later start of this node.
    Superseded {
        /// The later one.
        incarnation: Incarnation,
    },
    /// Something a peer sent to the catalog was not taken; also counted.
    Refused {
        /// Who sent it.
        from: NodeId,
        /// Whose log it was, where that is known.
        owner: Option<NodeId>,
        /// Why.
        refusal: Refusal,
    },
}

/// What happened to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// It is new, or a new start of a known node.
    Up,
    /// It does not answer at the moment.
    Suspect,
    /// It answers again.
    Refuted,
    /// It is held for dead.
    Down,
    /// It was held for dead and is back.
    Returned,
    /// It said goodbye.
    Left(LeaveReason),
    /// It has been gone for so long that it is no longer remembered.
    Forgotten,
}

/// What the engine wants to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Membership's agenda.
    Membership(mpreg_membership::Timer),
    /// The catalog's agenda.
    Catalog(mpreg_catalog::Timer),
    /// A snapshot may be published again.
    Publish,
    /// Connections that were dialled on demand are to be looked at.
    Idle,
    /// No seed has answered so far, or no catalog came.
    Join,
    /// Nobody has decided whether an instance is free.
    Holder,
}

/// What engines say to each other. The variant decides the kind of the frame, which holds the inner message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Between memberships.
    Membership(mpreg_membership::Message),
    /// Between catalogs.
    Catalog(mpreg_catalog::Message),
}
