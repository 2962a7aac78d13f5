use mpreg_types::{ClusterId, ForeignText, Incarnation, NodeId, escape_control};
use serde::{Deserialize, Serialize};

use super::VersionRange;
use crate::message::{self, decode_flat};
use crate::{DecodeError, FrameError, FrameKind, Role};

/// A map, the reason in it, its fields, and ranges or lists in those.
const NESTING: usize = 4;

const SECRET_REMEDY: &str = "give both sides the same secret_file (two users, or containers without a common home, \
     do not share the default one), or certificates (tls_ca, tls_cert, tls_key)";

/// Why a handshake ends without a connection. It goes to the other side too, so the text speaks of the refusing and
/// the refused side and reads right on both; and it says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Another frame than the handshake's next one.
    #[error("a frame of kind {got} where the handshake expects {expected}: a peer proves itself first")]
    UnexpectedFrame {
        /// Number of the kind that should have come.
        expected: u8,
        /// Number of the kind that came.
        got: u8,
    },
    /// Longer than a frame of a handshake may be.
    #[error(
        "the first bytes announce a frame of {bytes} bytes, a handshake has at most {max}: the refused side is no \
         mpreg process, or speaks TLS where the other does not"
    )]
    TooLarge {
        /// Declared or real length.
        bytes: u64,
        /// What would have been allowed.
        max: u64,
    },
    /// The hello does not begin as one.
    #[error("the hello does not begin with mpreg's magic: the refused side is no mpreg process")]
    BadMagic,
    /// No version that both speak.
    #[error(
        "no protocol version in common: the refusing side speaks {refusing}, the refused side {refused}; update the \
         older of the two"
    )]
    NoCommonVersion {
        /// What the refusing side speaks.
        refusing: VersionRange,
        /// What the refused side speaks.
        refused: VersionRange,
    },
    /// Not to be read, or against the rules of a hello or proof.
    #[error("malformed handshake: {}", escape_control(what.as_str()))]
    Malformed {
        /// In what respect.
        what: ForeignText,
    },
    /// Both ends have the same key.
    #[error("both ends are node {node}: it dialled itself, or its key was copied to a second process")]
    Itself {
        /// The node.
        node: NodeId,
    },
    /// Not on this connection.
    #[error("the role {role} is not taken here; taken: {}", names(accepted))]
    RoleNotAccepted {
        /// What the refused side is.
        role: Role,
        /// What it might have been.
        accepted: Vec<Role>,
    },
    /// A node of a cluster that is neither the own one nor trusted.
    #[error(
        "a node of cluster \"{refused}\" is not taken by cluster \"{refusing}\": give both the same cluster=, or link \
         the clusters with trust= and links="
    )]
    ForeignCluster {
        /// Cluster of the refusing side.
        refusing: ClusterId,
        /// Cluster of the refused side.
        refused: ClusterId,
    },
    /// A client or worker that wants into another cluster.
    #[error(
        "a {role} of cluster \"{refused}\" cannot enter cluster \"{refusing}\": connect to a node of its own"
    )]
    OtherCluster {
        /// Client or worker.
        role: Role,
        /// Cluster of the refusing side.
        refusing: ClusterId,
        /// Cluster of the refused side.
        refused: ClusterId,
    },
    /// None where one is demanded.
    #[error("the refused side has no certificate: configure tls_ca, tls_cert and tls_key there")]
    NoCertificate,
    /// The certificate names somebody else.
    #[error("the certificate is for {} and not for {}", escape_control(certificate.as_str()), escape_control(said.as_str()))]
    CertificateMismatch {
        /// URI that the certificate holds.
        certificate: ForeignText,
        /// URI that the hello amounts to.
        said: ForeignText,
    },
    /// A later start of the same process is known.
    #[error(
        "incarnation {said} of this node is over: incarnation {known} has been seen; start with a higher one"
    )]
    StaleIncarnation {
        /// Highest that was seen.
        known: Incarnation,
        /// What the hello said.
        said: Incarnation,
    },
    /// The refused side demands a secret that the refusing side does not have.
    #[error("the refused side demands the shared secret and the refusing side has none: {SECRET_REMEDY}")]
    SecretDemanded,
    /// The refused side has not proven the secret that is demanded.
    #[error("the refused side has not proven the shared secret: {SECRET_REMEDY}")]
    SecretMissing,
    /// It has proven another one.
    #[error("the two sides have different shared secrets: {SECRET_REMEDY}")]
    SecretWrong,
    /// The signature is not by the key of the hello over this handshake.
    #[error("the proof is not signed by the key that the hello names, over this very handshake")]
    BadSignature,
    /// Took longer than a handshake may.
    #[error("the handshake took longer than {limit_ms} ms (handshake_timeout)")]
    TooSlow {
        /// How long it may take.
        limit_ms: u64,
    },
    /// No room for one more.
    #[error("the refusing side has {connections} connections, and no room for more (connections)")]
    Full {
        /// How many there may be.
        connections: u32,
    },
    /// Whatever a newer version says; only its text is known here.
    #[error("{}", escape_control(text.as_str()))]
    Other {
        /// As the other side put it.
        text: ForeignText,
    },
}

/// Payload of a [`FrameKind::Refuse`] frame. The text stands for reasons that the reader is too old to know.
#[derive(Serialize, Deserialize)]
struct Refuse {
    text: ForeignText,
    #[serde(default)]
    reason: Option<Refusal>,
}

/// What any version can read of it.
#[derive(Deserialize)]
struct RefuseText {
    text: ForeignText,
}

impl Refusal {
    /// Payload of a [`FrameKind::Refuse`] frame.
    pub fn encode(&self) -> Vec<u8> {
        message::encode(&Refuse { text: ForeignText::new(self.to_string()), reason: Some(self.clone()) })
    }

    /// Reads what [`Self::encode`] wrote. A reason that is not known here becomes [`Refusal::Other`].
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        if let Ok(Refuse { text, reason }) = decode_flat(payload, NESTING) {
            return Ok(reason.unwrap_or(Self::Other { text }));
        }
        message::decode(payload).map(|RefuseText { text }| Self::Other { text })
    }

    pub(super) fn malformed(error: &dyn std::error::Error) -> Self {
        Self::Malformed { what: ForeignText::new(error.to_string()) }
    }

    pub(super) fn unexpected(expected: FrameKind, got: FrameKind) -> Self {
        Self::UnexpectedFrame { expected: expected.byte(), got: got.byte() }
    }
}

/// What a reader of the first bytes of a connection found instead of a frame.
impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge { length, max } => Self::TooLarge { bytes: length, max },
            other => Self::malformed(&other),
        }
    }
}

fn names(roles: &[Role]) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
