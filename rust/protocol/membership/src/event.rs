//! The five names every machine of the house shares: what goes in, what comes out, what happened, what to wake for,
//! what travels between two memberships.

use bytes::Bytes;
use mpreg_types::{Incarnation, LeaveReason, Load, NodeId, Signed, Time, Verified};
use serde::{Deserialize, Serialize};

use crate::{Addresses, Member, MemberIdentity, Row};

/// What the driver tells the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Addresses to join through, dialled for ever while nobody answers there; replaces the former list.
    Seeds {
        /// One entry per seed; an entry holds what one seed resolved to.
        seeds: Vec<Addresses>,
    },
    /// A handshake with a node of this cluster is done. Comes before any message from it, and again when a later
    /// connection to the same peer takes over: both sides greet again, which repairs what the earlier one lost.
    Connected {
        /// Who it proved to be.
        peer: MemberIdentity,
    },
    /// The last of the connections to that peer ended.
    Disconnected {
        /// The peer.
        peer: NodeId,
        /// How it ended.
        loss: Loss,
    },
    /// Somebody has data for that member and there is no connection: dial it once, unless it is being dialled.
    Wanted {
        /// The member.
        peer: NodeId,
    },
    /// Proof of process death that the driver has by itself: an abrupt end *and* a refused redial. (An abrupt loss
    /// followed by [`DialOutcome::Refused`] is understood without it.)
    ProcessGone {
        /// The peer.
        peer: NodeId,
    },
    /// The address of `former` answered with another node: `former` is Down. ([`DialOutcome::OtherNode`] says it too.)
    AddressTaken {
        /// Who answered.
        by: NodeId,
        /// Whose address it was.
        former: NodeId,
    },
    /// A dial of [`Output::Dial`] ended. For a success [`Input::Connected`] comes as well, before or after.
    Dialled {
        /// Which dial.
        dial: DialId,
        /// How it ended.
        outcome: DialOutcome,
    },
    /// A membership frame, but for [`Message::Leave`], which enters as [`Input::Left`] after its signature was checked.
    Message {
        /// Peer on whose connection it came.
        from: NodeId,
        /// The frame.
        message: Message,
    },
    /// A leave whose signature holds.
    Left {
        /// Peer on whose connection it came.
        from: NodeId,
        /// The leave, body as [`crate::Leave::encode`] makes it.
        leave: Verified<Signed>,
    },
    /// This node leaves: `signed` is its own [`crate::Leave`]. From here on the machine is silent.
    Leave {
        /// The leave, to be sent to everybody.
        signed: Signed,
    },
    /// How busy this node is from now on, for its answers to probes.
    Load {
        /// Calls running and waiting.
        load: Load,
    },
    /// A timer fired; late and stale ones are fine.
    Timer(Timer),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// FIN or RST with no GOODBYE before it.
    Abrupt,
    /// Closed in order, by either side.
    Orderly,
    /// Anything else: a time-out, an error of this side.
    Other,
}

/// One dial; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// How a dial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialOutcome {
    /// Connected, handshake done.
    Connected {
        /// Who answered: the one expected, or whoever is at the seed.
        node: NodeId,
    },
    /// Every address refused the connection: nothing listens there.
    Refused,
    /// Time-out, no route, a failed or refused handshake: says nothing about the process.
    Failed,
    /// A member's address answered with another node, proven by its handshake.
    OtherNode {
        /// Who answered.
        found: NodeId,
    },
    /// The address is this node's own.
    Myself,
}

/// What the driver shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a frame to a connected peer; in order, before any data frame.
    Send {
        /// The peer.
        to: NodeId,
        /// The frame.
        message: Message,
    },
    /// Send one frame to several connected peers (encode it once).
    SendMany {
        /// The peers.
        to: Vec<NodeId>,
        /// The frame.
        message: Message,
    },
    /// Hand `timer` back as [`Input::Timer`] at `at`. Only the newest one counts; older ones need not be cancelled.
    SetTimer {
        /// What to hand back.
        timer: Timer,
        /// When.
        at: Time,
    },
    /// Dial all `addresses` in parallel, shake hands, answer with [`Input::Dialled`] within `Config::dial_timeout`.
    Dial {
        /// Names the dial in the answer.
        dial: DialId,
        /// Who should answer; `None` for a seed.
        expect: Option<NodeId>,
        /// Where.
        addresses: Addresses,
    },
    /// Close the connection to that peer; [`Input::Disconnected`] for it is not needed.
    Drop {
        /// The peer.
        peer: NodeId,
        /// Why.
        reason: DropReason,
    },
    /// Something the layers above want to know.
    Event(Event),
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The member is held for Down: the connection is black-holed or its process gone; a fresh dial finds out.
    Down,
    /// A later start of the same node is known.
    OldIncarnation {
        /// The one known.
        known: Incarnation,
    },
    /// That start of the node has left.
    Left,
    /// `Config::members_max` members are known already.
    TooManyMembers,
}

/// What happened to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member is new, or is a new start of a known node.
    Up {
        /// The member, Alive or Suspect.
        member: Member,
        /// The start it takes the place of; what that one offered is gone.
        replaced: Option<Incarnation>,
    },
    /// It did not answer; choose others while there are some.
    Suspect {
        /// The member.
        node: NodeId,
    },
    /// It was Suspect and answers.
    Refuted {
        /// The member.
        node: NodeId,
    },
    /// It is held for dead: hide what it offers.
    Down {
        /// The member.
        node: NodeId,
    },
    /// It was held for dead and the same start of it is back: show again what it offers.
    Returned {
        /// The member, Alive or Suspect.
        member: Member,
    },
    /// It left for good: drop what it offers.
    Left {
        /// The member.
        node: NodeId,
        /// Which start of it.
        incarnation: Incarnation,
        /// Why.
        reason: LeaveReason,
    },
    /// Down or Left for so long that it is no longer remembered: drop what it offers.
    Forgotten {
        /// The member.
        node: NodeId,
        /// Which start of it.
        incarnation: Incarnation,
    },
    /// A peer speaks of a later start of *this* node. Hearsay: if a handshake is refused for it too, this process is the
    /// older one, and ends or starts again above it.
    Superseded {
        /// The later one.
        incarnation: Incarnation,
    },
}

/// The machine keeps its own agenda; this only wakes it. There is one: setting it again replaces it, and one that comes
/// too early is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer;

/// What two memberships say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// A probe, a question or an answer passed on: a packet of foca without its piggyback, in this crate's own codec.
    Swim(Bytes),
    /// The answer to a probe, as in [`Message::Swim`], and how busy the sender is; that is for the layers above.
    Answer {
        /// The packet.
        packet: Bytes,
        /// Calls running and waiting at the sender.
        load: Load,
    },
    /// Rows that changed at the sender.
    News(Vec<Row>),
    /// A signed leave, forwarded once. Verify it and hand it in as [`Input::Left`].
    Leave(Signed),
    /// Hash of the sender's living rows; answered only if it differs.
    Compare {
        /// First 16 bytes of SHA-256 over the sorted rows.
        #[serde(with = "serde_bytes")]
        hash: [u8; 16],
    },
    /// Hashes of the sender's living rows by the first byte of their node, 256 times 8 bytes: answered by the tables of
    /// those ranges that differ.
    Parts(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The sender has chosen the receiver for its active view, and wants the news from it.
    Chosen,
    /// All rows of the sender with `after < node <= until`.
    Table {
        /// Lower end, not included; `None`: from the first.
        after: Option<NodeId>,
        /// Upper end, included; `None`: to the last.
        until: Option<NodeId>,
        /// The rows, sorted.
        rows: Vec<Row>,
    },
    /// The receiver shall send the signed leaves of these.
    WantLeaves(Vec<NodeId>),
}

#[cfg(test)]
mod tests {
    use mpreg_types::{NodeKey, Signature};

    use super::*;
    use crate::RowState;

    fn row() -> Row {
        Row {
            node: NodeId::from_bytes([0xa1; 16]),
            incarnation: Incarnation(0x0102_0304_0506),
            generation: 2,
            refutation: 3,
            state: RowState::Suspect,
            addresses: Addresses::new(vec!["h:1".to_owned()]).unwrap(),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    #[test]
    fn every_message_survives_the_wire() {
        let key = NodeKey::from_bytes([1; 32]);
        let leave = Signed { key, signature: Signature::from_bytes([2; 64]), body: Bytes::from_static(b"x") };
        let node = row().node;
        let messages = [
            Message::Swim(Bytes::from_static(b"packet")),
            Message::Answer {
                packet: Bytes::from_static(b"packet"),
                load: Load { in_flight: 70_000, queued: 3 },
            },
            Message::News(vec![row()]),
            Message::Leave(leave),
            Message::Compare { hash: [7; 16] },
            Message::Parts(vec![7; 2048]),
            Message::Chosen,
            Message::Table { after: None, until: Some(node), rows: vec![row()] },
            Message::WantLeaves(vec![node]),
        ];
        for message in messages {
            let bytes = rmp_serde::to_vec(&message).unwrap();
            assert_eq!(rmp_serde::from_slice::<Message>(&bytes).unwrap(), message);
        }
    }

    #[test]
    fn golden_bytes_of_news() {
        let golden = concat!(
            "81a46e657773",                         // {"news":
            "9196",                                 // [[
            "c410a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", // node
            "cf0000010203040506",                   // incarnation
            "0203",                                 // generation, refutation
            "a773757370656374",                     // "suspect"
            "91a3683a31",                           // ["h:1"]
        );
        assert_eq!(hex(&rmp_serde::to_vec(&Message::News(vec![row()])).unwrap()), golden);
    }

    #[test]
    fn golden_bytes_of_parts_and_of_a_choice() {
        let parts = crate::parts::hashes(&[row()]);
        let golden = concat!(
            "81a57061727473",   // {"parts":
            "c50800",           // 2048 bytes
            "0000000000000000", // a part without rows
        );
        let bytes = hex(&rmp_serde::to_vec(&Message::Parts(parts.clone())).unwrap());
        assert_eq!(bytes[..golden.len()], *golden);
        let part = usize::from(0xa1_u8) * 8;
        // SHA-256 of node, incarnation, generation, refutation, and 1 for a suspect.
        assert_eq!(hex(&parts[part..part + 8]), "32921bea9a029205");
        assert!(parts[..part].iter().chain(&parts[part + 8..]).all(|byte| *byte == 0));
        assert_eq!(hex(&rmp_serde::to_vec(&Message::Chosen).unwrap()), "a663686f73656e");
    }

    #[test]
    fn addresses_beyond_the_limits_do_not_decode() {
        let long = vec!["x".repeat(Addresses::BYTES_MAX + 1)];
        assert!(rmp_serde::from_slice::<Addresses>(&rmp_serde::to_vec(&long).unwrap()).is_err());
        let many = vec![String::new(); Addresses::MAX + 1];
        assert!(rmp_serde::from_slice::<Addresses>(&rmp_serde::to_vec(&many).unwrap()).is_err());
    }
}
