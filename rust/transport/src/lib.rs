//! Listeners, dialers and connections over TCP, TLS, unix sockets and memory.
//!
//! A [`Network`] listens and dials and gives [`Link`]s: byte streams that never block. [`Handshakes`] turn a link into
//! an [`Established`] one, whose peer is proven, on the control runtime. [`Established::run`] moves it to the io
//! runtime, where a task cuts and checks frames for the [`FrameHandler`]. Its [`Connection`] is shared by all threads:
//! whoever has something to send appends it and writes it himself, so that no call waits for another thread.
//!
//! Invariants:
//! - Frames of one connection are written whole and one after the other, whatever number of threads flush.
//! - What a peer declares reserves nothing: memory follows what has arrived, and every queue has a limit.
//! - At the end of a connection [`Lost::untaken`] separates the calls of which no byte was handed to the kernel from the
//!   others (with TLS, and on a way that a test delays, "the kernel" begins one buffer earlier), and those that the peer's
//!   goodbye says it did not take. After its own goodbye a side hands over no call but those that it names as taken.

mod address;
mod batch;
mod bulk;
mod carrier;
mod certificate_error;
mod certificate_verifier;
mod close_reason;
mod closing;
mod connection;
mod counters;
mod error;
mod established;
mod eyeballs;
mod faults;
mod flows;
mod gate;
mod half_open;
mod handler;
mod handshakes;
mod lane;
mod link;
mod listener;
mod memory;
mod network;
mod outbox;
mod parting;
mod plain_socket;
mod read_side;
mod reader;
mod send_limits;
mod serve;
mod stream_set;
mod streams;
mod tls;
mod tls_link;
mod values;

pub use address::{Address, AddressError};
pub use certificate_error::CertificateError;
pub use close_reason::{CloseReason, Goodbye};
pub use connection::Connection;
pub use counters::Counters;
pub use error::{Lost, LostCause, ProtocolError, SendError};
pub use established::Established;
pub use faults::Faults;
pub use handler::{AdmitError, FrameHandler, Incoming};
pub use handshakes::{HandshakeFailure, Handshakes};
pub use lane::{Lane, LaneRead};
pub use link::Link;
pub use listener::{ListenError, Listener};
pub use network::{DialError, Network};
pub use tls::{PeerCertificate, Tls, TlsError, TlsFiles};
