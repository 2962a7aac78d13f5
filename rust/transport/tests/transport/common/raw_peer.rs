use bytes::BytesMut;
use mpreg_transport::Address;
use mpreg_types::StreamId;
use mpreg_wire::handshake::{Channel, Handshake, Policy, Side, handshake_payload};
use mpreg_wire::verify::Ed25519;
use mpreg_wire::{Frame, FrameFlags, FrameHeader, FrameKind, Limits, Role, cut_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::ends::{End, Half, IoThread};
use super::recorder::Behaviour;
use super::{SOON, soon};

/// A peer that proves itself and then writes whatever bytes it likes: it has the acceptor's side of the connection.
#[derive(Debug)]
pub(crate) struct RawPeer {
    socket: TcpStream,
    buffer: BytesMut,
}

/// A frame as bytes.
pub(crate) fn frame(kind: FrameKind, flags: FrameFlags, stream: u64, meta: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader::new(kind, flags, StreamId(stream), meta.len(), payload.len()).unwrap();
    [&header.encode()[..], meta, payload].concat()
}

impl RawPeer {
    /// Connected to a proper [`Half`] that dialled it, in `role`.
    pub(crate) async fn connect(role: Role, limits: Limits, behaviour: Behaviour) -> (Self, Half, IoThread) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let dialer = End::new("a", 1, Role::Node, limits.clone(), None);
        let network = mpreg_transport::Network::new();
        let link = network.dial(&address, None, SOON).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let mut raw = Self { socket, buffer: BytesMut::new() };
        let end = End::new("raw", 9, role, limits, None);
        let (established, ()) =
            soon("the handshake", async { tokio::join!(dialer.shake(link, Side::Dialer), raw.prove(&end)) })
                .await;
        let io = IoThread::start();
        let half = Half::run(dialer, established.unwrap(), behaviour, &io.handle);
        (raw, half, io)
    }

    async fn prove(&mut self, end: &End) {
        let handshake = Handshake::new(end.hello(), Policy::roles(Role::ALL), Channel::plain(Side::Acceptor));
        self.write(&frame(FrameKind::Hello, FrameFlags::NONE, 0, &[], handshake.hello())).await;
        let hello = self.frame().await.unwrap();
        let awaiting =
            handshake.on_hello(handshake_payload(&hello, FrameKind::Hello).unwrap(), |_| None).unwrap();
        self.write(&frame(FrameKind::Proof, FrameFlags::NONE, 0, &[], awaiting.proof())).await;
        let proof = self.frame().await.unwrap();
        awaiting.on_proof(handshake_payload(&proof, FrameKind::Proof).unwrap(), &Ed25519).unwrap();
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon("writing", self.socket.write_all(bytes)).await.unwrap();
    }

    /// The next frame; `None` at the end, or when the other side hung up.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = cut_frame(&mut self.buffer, u32::MAX).unwrap() {
                return Some(frame);
            }
            match soon("reading", self.socket.read_buf(&mut self.buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// What is left in front of the end that is no whole frame.
    pub(crate) fn torn(&self) -> &[u8] {
        &self.buffer
    }

    /// Everything the other side still says.
    pub(crate) async fn frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        frames
    }
}
