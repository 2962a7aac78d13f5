//! What a call and its reply say besides their value: the metadata of the two hot frames, as plain data.
//!
//! `wire` encodes them, `rpc` decides on them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    CallId, ClusterId, ContractHash, Executed, ForeignText, FunctionId, FunctionName, FunctionVersion,
    HopBudget, Incarnation, NodeId, ResourceSet, ResultRef, StepCall, VersionConstraint,
};

/// Which function is wanted: by name, or by its identity across renames.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// The name it is registered under now.
    Name(FunctionName),
    /// The id it keeps when it is renamed.
    Id(FunctionId),
}

/// Which cluster may answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedCluster {
    /// The own one if it has a candidate, else the nearest by route.
    #[default]
    OwnFirst,
    /// This one and no other.
    One(ClusterId),
    /// `cluster="*"`: overload at home may go abroad.
    Any,
}

/// What a caller asks for; the node that selects turns it into a candidate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Selector {
    /// Function by name or id.
    pub function: Wanted,
    /// Cluster to look in.
    pub cluster: WantedCluster,
    /// Versions that will do.
    pub version: VersionConstraint,
    /// Resources the candidate must have.
    pub resources: ResourceSet,
    /// The caller's own contract: owners with the same one come first.
    pub contract: Option<ContractHash>,
    /// Hash of `sticky=`: calls with one value go to one candidate while it lives.
    pub sticky: Option<u64>,
    /// How long to wait for a candidate to appear.
    pub wait: Duration,
    /// Candidates that failed already, at most [`Selector::TRIED_MAX`]; avoided while another one is left.
    pub tried: Vec<NodeId>,
}

impl Selector {
    /// Most candidates a frame names as tried.
    pub const TRIED_MAX: usize = 8;
    /// How long a call waits for a candidate unless told otherwise.
    pub const WAIT_DEFAULT: Duration = Duration::from_millis(500);

    /// Any version of `function`, anywhere the rules of the mesh allow.
    pub fn new(function: Wanted) -> Self {
        Self {
            function,
            cluster: WantedCluster::OwnFirst,
            version: VersionConstraint::ANY,
            resources: ResourceSet::EMPTY,
            contract: None,
            sticky: None,
            wait: Self::WAIT_DEFAULT,
            tried: Vec::new(),
        }
    }
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Chosen already; another incarnation refuses it with `executed="no"`.
    Direct {
        /// The chosen node.
        node: NodeId,
        /// Its start.
        incarnation: Incarnation,
        /// The function by identity.
        function: FunctionId,
        /// Exactly this version.
        version: FunctionVersion,
    },
    /// The receiving entry node or gateway selects.
    Select(Selector),
    /// A builtin function of the receiving node, whoever that is.
    Here {
        /// Which.
        function: FunctionId,
    },
}

/// A target together with its bytes on the wire, so that a hot call copies them instead of encoding again.
#[derive(Debug)]
pub struct PreparedTarget {
    /// Where the call goes.
    pub target: Target,
    encoded: OnceLock<Bytes>,
}

impl PreparedTarget {
    /// Encoded at its first use.
    pub fn new(target: Target) -> Self {
        Self { target, encoded: OnceLock::new() }
    }

    /// As it was read from the wire.
    pub fn from_wire(target: Target, encoded: Bytes) -> Self {
        Self { target, encoded: OnceLock::from(encoded) }
    }

    /// Its bytes; `encode` runs once.
    pub fn encoded_with(&self, encode: impl FnOnce(&Target) -> Bytes) -> &Bytes {
        self.encoded.get_or_init(|| encode(&self.target))
    }
}

impl PartialEq for PreparedTarget {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target
    }
}

impl Eq for PreparedTarget {}

/// What few calls carry; boxed, so that the others stay small.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallExtras {
    /// Clusters walked, origin first; empty in the origin cluster.
    pub path: Vec<ClusterId>,
    /// Exit gateway that the first node of this cluster chose.
    pub pinned_exit: Option<NodeId>,
    /// Name of the client that called, set by its entry node.
    pub client: Option<String>,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// The user's `metadata=`, encoded; at most 4 KiB.
    pub metadata: Option<Bytes>,
    /// `key=` of an effect.
    pub idempotency_key: Option<String>,
    /// The caller wants to know who answers, also in a success: a client cannot know by itself.
    #[serde(default)]
    pub tell_node: bool,
    /// Hash of `sticky=` of a call whose node is chosen already: that node may have workers to choose from.
    #[serde(default)]
    pub sticky: Option<u64>,
    /// The call is a step of a graph.
    #[serde(default)]
    pub step: Option<Box<StepCall>>,
}

/// Metadata of a call frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallHead {
    /// Chosen by the sender for itself; the reply repeats it.
    pub token: u64,
    /// Identity of the call over all its attempts.
    pub call: CallId,
    /// 1 for the first attempt.
    pub attempt: u8,
    /// Deadline as time left; each hop subtracts what it used.
    pub remaining: Duration,
    /// Length of the whole value, over all chunks.
    pub value_bytes: u64,
    /// Borders the call may still cross.
    pub hops_left: HopBudget,
    /// Forwards inside this cluster so far; more than three is a loop.
    pub forwards: u8,
    /// True for a stream: items come before the reply, which is its end.
    pub stream: bool,
    /// Where it goes.
    pub target: Arc<PreparedTarget>,
    /// What few calls carry.
    pub extras: Option<Box<CallExtras>>,
}

/// How busy a callee is; rides on replies and probe answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Calls running.
    pub in_flight: u32,
    /// Calls waiting.
    pub queued: u32,
}

/// Where a call's time went, in microseconds by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Waiting for a candidate, for credit, or in the callee's queue.
    pub queue_us: u64,
    /// On the way, both directions.
    pub wire_us: u64,
    /// Waiting for the interpreter.
    pub interpreter_us: u64,
    /// Waiting for the event loop.
    pub loop_us: u64,
    /// In the function, with the calls it made unless they are counted as children.
    pub handler_us: u64,
    /// In calls the function made. Nobody counts them yet.
    pub children_us: u64,
}

impl Ledger {
    /// Nothing but waiting.
    pub fn queued(time: Duration) -> Self {
        Self { queue_us: Self::micros(time), ..Self::default() }
    }

    /// Adds the time since the callee handed the call to its function, of which is known only whether that had begun.
    pub fn add_at_callee(&mut self, time: Duration, begun: Executed) {
        let stage = if begun == Executed::No { &mut self.queue_us } else { &mut self.handler_us };
        *stage = stage.saturating_add(Self::micros(time));
    }

    /// All stages together, without the way.
    pub fn without_wire(&self) -> u64 {
        let Self { queue_us, wire_us: _, interpreter_us, loop_us, handler_us, children_us } = *self;
        [queue_us, interpreter_us, loop_us, handler_us, children_us].into_iter().fold(0, u64::saturating_add)
    }

    /// A duration as the stages count it.
    pub fn micros(time: Duration) -> u64 {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    }
}

/// What few replies carry; boxed, so that the others stay small.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyExtras {
    /// Who answered, unless it is the node at the other end of the connection.
    pub node: Option<NodeId>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// Clusters walked.
    pub path: Vec<ClusterId>,
    /// Where the time went; on errors.
    pub ledger: Option<Ledger>,
    /// On an error with `executed="unknown"`: the function is `idempotent=True`, so the caller may try again. The
    /// entry node knows it from the catalog; its client has none.
    #[serde(default)]
    pub idempotent: bool,
    /// Who answers, as users see it: on errors, and where the call asked for it.
    #[serde(default)]
    pub label: Option<ForeignText>,
    /// The result of a graph's step stays with its maker.
    #[serde(default)]
    pub held: Option<Box<ResultRef>>,
}

/// Metadata of a reply frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyHead {
    /// The call's token.
    pub token: u64,
    /// True: the value is the result. False: it is an encoded `ErrorBody`.
    pub ok: bool,
    /// What the callee (or the last node on the way) knows.
    pub executed: Executed,
    /// Length of the whole value, over all chunks.
    pub value_bytes: u64,
    /// How busy the callee is.
    pub load: Option<Load>,
    /// What few replies carry.
    pub extras: Option<Box<ReplyExtras>>,
}

impl ReplyHead {
    /// A result of `value_bytes` bytes.
    pub fn ok(token: u64, value_bytes: u64) -> Self {
        Self { token, ok: true, executed: Executed::Yes, value_bytes, load: None, extras: None }
    }

    /// An error whose encoded body has `value_bytes` bytes.
    pub fn error(token: u64, executed: Executed, value_bytes: u64) -> Self {
        Self { ok: false, executed, ..Self::ok(token, value_bytes) }
    }
}
