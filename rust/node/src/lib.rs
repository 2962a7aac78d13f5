//! The tokio driver of a node: owns the machines, runs their outputs, and is the public Rust API.
//!
//! A [`Node`] has an `Engine` on the control thread (`driver`), a `Switch` on the I/O thread (`switch_io`) and a [`Port`]
//! for each thread that calls through it. A [`Client`] has ports only. They meet in [`Mailbox`]es (towards threads that
//! run Python), in commands (towards the driver) and in the routing snapshot that everybody reads.

mod answers;
mod assigned;
mod backlog;
mod caller;
mod certificates;
mod client;
mod client_io;
mod client_shared;
mod clock;
mod command;
mod config;
mod connections;
mod dispatch;
mod doorway;
mod driver;
mod echo_door;
mod entropy;
mod error;
mod failure;
mod functions;
mod graph;
mod inbound;
mod incarnation_file;
mod items;
mod look;
mod mailbox;
mod node;
mod node_key;
mod node_shared;
mod port;
mod runtime;
mod secret;
mod security;
mod stats_door;
mod stats_view;
mod stream_io;
mod switch_io;
mod views;
mod worker;
mod worker_door;
mod worker_offer;

pub use caller::{Caller, End};
pub use client::{Client, nil};
pub use client_shared::ClientShared;
pub use config::{ClientConfig, NodeConfig, Part, Settings};
pub use dispatch::{Dispatcher, Invocation, InvocationKey, Left, Origin, Replies, Ticket};
pub use error::NodeError;
pub use failure::CallFailure;
pub use functions::FunctionSpec;
pub use graph::{decode_answer, decode_event, decode_failure, encode_graph};
pub use items::ItemSender;
pub use look::{CandidateRow, decode_candidates, encode_candidates_request};
pub use mailbox::{Done, Item, Mailbox, News, PortId, Wake};
pub use mpreg_rpc::{CallKey, Pass, Taken};
pub use mpreg_transport::{Faults, Lane, LaneRead, Network};
pub use mpreg_wire::METADATA_BYTES_MAX;
pub use node::Node;
pub use node_shared::NodeShared;
pub use port::{Completion, Outgoing, Port};
pub use runtime::{Runtime, generation, now};
