use std::fmt;

use serde::{Deserialize, Serialize};

use crate::FrameKind;

/// What a peer is to this process; fixed by the handshake for the life of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A node of the own cluster.
    Node,
    /// A node of a trusted other cluster. Nobody declares it: it is what such a node is granted.
    Gateway,
    /// A process that calls and offers nothing.
    Client,
    /// A process that runs handlers behind a node.
    Worker,
}

impl Role {
    /// Every role there is.
    pub const ALL: [Self; 4] = [Self::Node, Self::Gateway, Self::Client, Self::Worker];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Gateway => "gateway",
            Self::Client => "client",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// True if a peer with `role` may send frames of `kind` on an established connection; the one table of it.
///
/// Anything else closes the connection. `Refuse` is open to all: a side may refuse the proof of a peer that holds the
/// connection for established already. `Hello` and `Proof` belong before it, so nobody may send them here.
pub const fn allowed(role: Role, kind: FrameKind) -> bool {
    use Role::{Client, Gateway, Node, Worker};
    match kind {
        FrameKind::Refuse
        | FrameKind::Goodbye
        | FrameKind::Ping
        | FrameKind::Pong
        | FrameKind::Credit
        | FrameKind::Call
        | FrameKind::Chunk
        | FrameKind::Cancel => true,
        FrameKind::Reply | FrameKind::Started | FrameKind::Item => matches!(role, Node | Gateway | Worker),
        FrameKind::Membership | FrameKind::Catalog | FrameKind::LookReply => matches!(role, Node),
        FrameKind::Look => matches!(role, Node | Client | Worker),
        FrameKind::Hello | FrameKind::Proof | FrameKind::Route => false,
    }
}
