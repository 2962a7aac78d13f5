use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use mpreg_wire::handshake::PeerIdentity;
use mpreg_wire::{Limits, Process};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::handshakes::Slot;
use crate::serve::{Ending, serve, write_blocked};
use crate::{Connection, Counters, FrameHandler, Link, PeerCertificate};

/// A link whose peer is proven; the step from the control runtime, which shakes hands, to the io runtime, which reads.
///
/// Dropping it instead of running it closes the link without a word.
#[derive(Debug)]
pub struct Established {
    pub(crate) link: Link,
    /// What came behind the handshake.
    pub(crate) buffer: BytesMut,
    pub(crate) own: Process,
    pub(crate) peer: PeerIdentity,
    pub(crate) dialled: bool,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) slot: Slot,
    pub(crate) certificate: Option<PeerCertificate>,
}

impl Established {
    /// Who is at the other end.
    pub fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// True if this side dialled.
    pub fn dialled(&self) -> bool {
        self.dialled
    }

    /// The peer's certificate, to be checked again later; `None` without TLS.
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.certificate.as_ref()
    }

    /// Moves the link to the runtime `io` and begins to read there: `handler` hears of everything. May be called from
    /// any thread; the connection can be written to at once.
    pub fn run<H: FrameHandler>(self, io: &Handle, handler: Arc<Mutex<H>>) -> io::Result<Arc<Connection>> {
        let link = self.link.reattach(io)?;
        let connection = Connection::new(link, self.own, self.peer, self.dialled, self.limits, self.counters);
        io.spawn(write_blocked(connection.clone()));
        let (ending, slot, buffer) = (Ending(connection.clone()), self.slot, self.buffer);
        io.spawn(async move {
            serve(ending, buffer, handler).await;
            drop(slot);
        });
        Ok(connection)
    }
}
