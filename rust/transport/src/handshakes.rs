use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use mpreg_types::{Incarnation, NodeId};
use mpreg_wire::handshake::{
    AwaitingProof, Channel, Handshake, HandshakeError, LocalHello, PeerIdentity, Policy, Refusal, Side,
    handshake_payload,
};
use mpreg_wire::verify::SignatureScheme;
use mpreg_wire::{Frame, FrameHeader, FrameKind, Limits, Process, cut_frame};
use thiserror::Error;
use tokio::time::timeout;

use crate::batch::Batch;
use crate::half_open::HalfOpen;
use crate::link::Written;
use crate::{CertificateError, Counters, Established, Link, PeerCertificate, Tls};

/// How long a refused peer is listened to, so that it reads the refusal and not a reset.
const LINGER_TIMEOUT: Duration = Duration::from_millis(250);
/// What is thrown away meanwhile at most.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How an alert begins (RFC 8446, 5.1); too short to be taken for the header of a frame.
const TLS_ALERT: [u8; 2] = [21, 3];

/// Turns links into connections: TLS where it is configured, then the handshake of `mpreg_wire`, with the limits that
/// keep strangers from costing anything. One per node; runs on the control runtime.
#[derive(Debug)]
pub struct Handshakes {
    limits: Limits,
    tls: Option<Tls>,
    scheme: Arc<dyn SignatureScheme>,
    counters: Arc<Counters>,
    half_open: HalfOpen,
    connections: Arc<AtomicU32>,
}

/// Why a link did not become a connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// One side refused the other; says which, why and what to do.
    #[error(transparent)]
    Refused(#[from] HandshakeError),
    /// TLS failed, on this side or by the peer's alert.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The peer's certificate does not prove who it is.
    #[error("TLS: {0}")]
    Certificate(#[from] CertificateError),
    /// The peer answered in TLS.
    #[error("the peer speaks TLS and this side does not: configure tls_ca, tls_cert and tls_key here too")]
    PeerSpeaksTls,
    /// The link broke or ended before anybody was proven.
    #[error("the link broke during the handshake: {0}")]
    Broken(io::Error),
    /// The peer took too long while newer ones came.
    #[error("displaced by a newer handshake: too many are half open")]
    Displaced,
}

impl HandshakeFailure {
    /// What rustls ran into; our own reasons come back out of it.
    fn of_tls(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) = inner
            && let Some(error) = other.0.downcast_ref::<CertificateError>()
        {
            return Self::Certificate(error.clone());
        }
        Self::Tls(error)
    }
}

impl From<Refusal> for HandshakeFailure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(HandshakeError::Refused(refusal))
    }
}

/// One of the connections a node may have; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicU32>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Handshakes {
    /// With certificates, every TCP link is encrypted and authenticated by them; there is no way back to plaintext.
    pub fn new(
        limits: Limits,
        tls: Option<Tls>,
        scheme: Arc<dyn SignatureScheme>,
        counters: Arc<Counters>,
    ) -> Self {
        let half_open = HalfOpen::new(limits.half_open);
        Self { limits, tls, scheme, counters, half_open, connections: Arc::default() }
    }

    /// The counters of the node.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Connections there are now.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Acquire)
    }

    /// Proves this side and has the other prove itself, within the `handshake_timeout`. `local` has a fresh nonce and
    /// the limits this was made with; `known` tells the highest incarnation seen of a node. Who is refused learns why.
    pub async fn shake(
        &self,
        link: Link,
        side: Side,
        local: LocalHello,
        policy: Policy,
        known: impl FnOnce(NodeId) -> Option<Incarnation>,
    ) -> Result<Established, HandshakeFailure> {
        let place = (side == Side::Acceptor).then(|| self.half_open.enter());
        let displaced = async {
            match &place {
                Some(place) => place.displaced().await,
                None => std::future::pending().await,
            }
        };
        let shaken = tokio::select! {
            // Boxed: what a handshake holds would otherwise lie in every future around it.
            shaken = Box::pin(self.shake_in_time(link, side, local, policy, known)) => shaken,
            () = displaced => Err(HandshakeFailure::Displaced),
        };
        if let Err(failure) = &shaken {
            self.count(failure);
        }
        shaken
    }

    async fn shake_in_time(
        &self,
        link: Link,
        side: Side,
        local: LocalHello,
        policy: Policy,
        known: impl FnOnce(NodeId) -> Option<Incarnation>,
    ) -> Result<Established, HandshakeFailure> {
        let limit = self.limits.handshake_timeout;
        let deadline = tokio::time::Instant::now() + limit;
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let too_slow = || Refusal::TooSlow { limit_ms };
        let link =
            tokio::time::timeout_at(deadline, self.secure(link, side)).await.map_err(|_| too_slow())??;
        let certificate = link.peer_certificate()?;
        let channel = Channel {
            side,
            exporter: certificate.as_ref().map(|certificate| certificate.exporter.clone()),
            certificate: certificate.as_ref().map(|certificate| certificate.name.clone()),
        };
        let own = Process { node: NodeId::of(&local.signer.key()), incarnation: local.incarnation };
        let handshake = Handshake::new(local, policy, channel);
        let mut frames = Frames { link, buffer: BytesMut::new() };
        let proven = tokio::time::timeout_at(deadline, self.prove(&mut frames, handshake, known)).await;
        match proven.unwrap_or_else(|_| Err(too_slow().into())) {
            Ok((peer, slot)) => Ok(self.established(frames, own, peer, side, slot, certificate)),
            Err(failure) => {
                if let HandshakeFailure::Refused(HandshakeError::Refused(refusal)) = &failure {
                    frames.refuse(refusal).await;
                }
                Err(failure)
            }
        }
    }

    fn established(
        &self,
        frames: Frames,
        own: Process,
        peer: PeerIdentity,
        side: Side,
        slot: Slot,
        certificate: Option<PeerCertificate>,
    ) -> Established {
        Established {
            link: frames.link,
            buffer: frames.buffer,
            own,
            peer,
            dialled: side == Side::Dialer,
            limits: self.limits.clone(),
            counters: self.counters.clone(),
            slot,
            certificate,
        }
    }

    async fn secure(&self, link: Link, side: Side) -> Result<Link, HandshakeFailure> {
        let Some(tls) = self.tls.as_ref().filter(|_| link.is_tcp()) else { return Ok(link) };
        let session = match side {
            Side::Dialer => tls.dialling(),
            Side::Acceptor => tls.accepting(),
        };
        let session = session.map_err(|error| HandshakeFailure::Tls(io::Error::other(error)))?;
        link.secure(session).await.map_err(HandshakeFailure::of_tls)
    }

    async fn prove(
        &self,
        frames: &mut Frames,
        handshake: Handshake,
        known: impl FnOnce(NodeId) -> Option<Incarnation>,
    ) -> Result<(PeerIdentity, Slot), HandshakeFailure> {
        frames.send(FrameKind::Hello, handshake.hello()).await?;
        let hello = frames.next().await?;
        let awaiting: AwaitingProof =
            handshake.on_hello(handshake_payload(&hello, FrameKind::Hello)?, known)?;
        let slot = self.slot()?;
        frames.send(FrameKind::Proof, awaiting.proof()).await?;
        let proof = frames.next().await?;
        let payload = handshake_payload(&proof, FrameKind::Proof)?;
        Ok((awaiting.on_proof(payload, &*self.scheme)?, slot))
    }

    fn slot(&self) -> Result<Slot, Refusal> {
        let max = self.limits.connections;
        let slot = Slot(self.connections.clone());
        if self.connections.fetch_add(1, Ordering::AcqRel) < max {
            return Ok(slot);
        }
        Counters::add(&self.counters.connections_over_limit, 1);
        Err(Refusal::Full { connections: max })
    }

    fn count(&self, failure: &HandshakeFailure) {
        let counter = match failure {
            HandshakeFailure::Refused(HandshakeError::Refused(_)) => &self.counters.handshakes_refused,
            HandshakeFailure::Refused(HandshakeError::RefusedByPeer(_)) => {
                &self.counters.handshakes_refused_by_peer
            }
            HandshakeFailure::Displaced => &self.counters.handshakes_displaced,
            HandshakeFailure::Tls(_)
            | HandshakeFailure::Certificate(_)
            | HandshakeFailure::PeerSpeaksTls
            | HandshakeFailure::Broken(_) => &self.counters.handshakes_failed,
        };
        Counters::add(counter, 1);
    }
}

/// Frames before there is a connection, one at a time.
#[derive(Debug)]
struct Frames {
    link: Link,
    buffer: BytesMut,
}

impl Frames {
    async fn send(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), HandshakeFailure> {
        match self.write(kind, payload).await {
            Ok(()) => Ok(()),
            // A peer that refuses hangs up; what it said before lies here to be read.
            Err(error) => match self.next().await {
                Ok(frame) => match handshake_payload(&frame, kind) {
                    Err(refused @ HandshakeError::RefusedByPeer(_)) => Err(refused.into()),
                    Ok(_) | Err(HandshakeError::Refused(_)) => Err(HandshakeFailure::Broken(error)),
                },
                Err(_) => Err(HandshakeFailure::Broken(error)),
            },
        }
    }

    async fn write(&self, kind: FrameKind, payload: &[u8]) -> io::Result<()> {
        let header = FrameHeader::control(kind, payload.len()).map_err(io::Error::other)?;
        let mut batch = Batch::default();
        batch.control.buffer().extend_from_slice(&header.encode());
        batch.control.buffer().extend_from_slice(payload);
        while self.link.try_write(&mut batch)? == Written::Blocked {
            self.link.writable().await?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Frame, HandshakeFailure> {
        loop {
            if let Some(frame) =
                cut_frame(&mut self.buffer, Limits::HANDSHAKE_BYTES_MAX).map_err(Refusal::from)?
            {
                return Ok(frame);
            }
            match self.link.try_read(&mut self.buffer, usize::MAX) {
                Ok(0) if self.buffer.starts_with(&TLS_ALERT) => return Err(HandshakeFailure::PeerSpeaksTls),
                Ok(0) => return Err(HandshakeFailure::Broken(ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.link.readable().await.map_err(HandshakeFailure::Broken)?;
                }
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    /// With TLS 1.3 the side that dials learns only now that its certificate was refused.
    fn broken(&self, error: io::Error) -> HandshakeFailure {
        if self.link.is_tls() && error.kind() == ErrorKind::InvalidData {
            HandshakeFailure::of_tls(error)
        } else {
            HandshakeFailure::Broken(error)
        }
    }

    /// Says why, and waits a little for the peer to have read it.
    async fn refuse(&mut self, refusal: &Refusal) {
        let say = async {
            self.write(FrameKind::Refuse, &refusal.encode()).await?;
            self.link.shutdown_write()?;
            let mut skipped = 0;
            while skipped < LINGER_BYTES_MAX {
                self.buffer.clear();
                match self.link.try_read(&mut self.buffer, usize::MAX) {
                    Ok(0) => break,
                    Ok(count) => skipped += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.link.readable().await?,
                    Err(error) => return Err(error),
                }
            }
            io::Result::Ok(())
        };
        // The refusal stands, whether the peer reads it or not.
        drop(timeout(LINGER_TIMEOUT, say).await);
    }
}
