//! The words of the mesh: ids, names, versions, resources, deadlines and error codes.
//!
//! **Parse, don't validate.** Text becomes one of these types exactly once, on the way in (from Python, from a
//! file, from the wire), and is never checked again. Whoever holds a [`FunctionName`] knows that it obeys the grammar.
//!
//! Nothing here has a clock, a lock, I/O or randomness, and nothing depends on another crate of mpreg.

mod builtin;
mod call;
mod call_id;
mod cluster_id;
mod connection_id;
mod contract_hash;
mod defect;
mod error_body;
mod error_code;
mod executed;
mod function_id;
mod function_name;
mod function_version;
mod graph;
mod graph_event;
mod hop_budget;
mod id_parts;
mod incarnation;
mod instance;
mod item;
mod keys;
mod leave_reason;
mod member_state;
mod name_error;
mod name_pattern;
mod nearest;
mod node_id;
mod node_name;
mod payload;
mod resource;
mod resource_set;
mod scope;
mod signed;
mod text;
mod text_newtype;
mod time;
mod untaken;
mod verified;
mod version_constraint;

pub use builtin::Builtin;
pub use call::{
    CallExtras, CallHead, Ledger, Load, PreparedTarget, ReplyExtras, ReplyHead, Selector, Target, Wanted,
    WantedCluster,
};
pub use call_id::CallId;
pub use cluster_id::ClusterId;
pub use connection_id::{ConnectionId, StreamId};
pub use contract_hash::ContractHash;
pub use defect::Defect;
pub use error_body::ErrorBody;
pub use error_code::ErrorCode;
pub use executed::Executed;
pub use function_id::FunctionId;
pub use function_name::FunctionName;
pub use function_version::FunctionVersion;
pub use graph::{
    CallGraph, Fetch, Grant, GraphAnswer, GraphFailure, GraphId, GraphReport, HeldInput, INLINE_RESULT_BYTES,
    Input, InputFailure, PathKey, Pick, ResultRef, Step, StepCall, StepReport,
};
pub use graph_event::GraphEvent;
pub use hop_budget::HopBudget;
pub use id_parts::{PART_HASH_BYTES, differing_parts, first_of_part, last_of_part, part_hashes};
pub use incarnation::Incarnation;
pub use instance::Instance;
pub use item::{ItemHead, STREAM_WINDOW, item_cost};
pub use keys::{NodeKey, Signature, Signer};
pub use leave_reason::LeaveReason;
pub use member_state::MemberState;
pub use name_error::NameError;
pub use name_pattern::NamePattern;
pub use nearest::nearest;
pub use node_id::NodeId;
pub use node_name::NodeName;
pub use payload::{Payload, VALUE_EXT_TAG, VALUE_TAG_TUPLE};
pub use resource::{Resource, Tag};
pub use resource_set::ResourceSet;
pub use scope::Scope;
pub use signed::Signed;
pub use text::{ForeignText, escape_control};
pub use time::Time;
pub use untaken::Untaken;
pub use verified::Verified;
pub use version_constraint::VersionConstraint;
