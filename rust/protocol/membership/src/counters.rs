//! What was dropped or doubted: nothing is silent.

use std::collections::BTreeMap;

use mpreg_types::NodeId;

/// Counts since the start of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages from a node that is neither connected nor a member.
    pub unknown_sender: u64,
    /// Packets or rows that cannot be what their sender says.
    pub malformed: u64,
    /// Leaves that did not come through the signature check, or are not about their signer.
    pub bad_leave: u64,
    /// Rows of members beyond `members_max`.
    pub members_overflow: u64,
    /// Messages for members that could not be dialled in time.
    pub undelivered: u64,
    /// Connections and rows of an older incarnation than the one known.
    pub old_incarnation: u64,
    /// Calls that foca answered with an error; a defect or a hostile packet, its state stays sound.
    pub swim_errors: u64,
    /// Times this node found itself late.
    pub late: u64,
    /// Times this node refuted a suspicion of itself or came back from being held for Down.
    pub refuted: u64,
    /// Accusations that own evidence contradicted, by the member that brought them.
    pub overturned: BTreeMap<NodeId, u64>,
}
