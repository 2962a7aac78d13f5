use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::{CertificateError, PeerCertificate};

/// Most ciphertext rustls holds for a socket that takes no more.
const UNSENT_BYTES_MAX: usize = 512 * 1024;
/// Ciphertext read from the socket at once; rustls itself asks for 4 KiB at a time.
const READ_BYTES: usize = 64 * 1024;

/// A TLS session over TCP whose two directions share one lock, so that whoever writes also encrypts.
///
/// Bytes that rustls took count as handed to the kernel: nobody can say any more that they were not.
#[derive(Debug)]
pub(crate) struct TlsLink {
    socket: TcpStream,
    session: Mutex<Session>,
}

#[derive(Debug)]
struct Session {
    tls: rustls::Connection,
    /// Ciphertext that rustls has not taken yet.
    received: BytesMut,
}

impl TlsLink {
    /// Runs the TLS handshake to its end. The caller sets the deadline.
    pub(crate) async fn handshake(socket: TcpStream, mut tls: rustls::Connection) -> io::Result<Self> {
        tls.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        let link = Self { socket, session: Mutex::new(Session { tls, received: BytesMut::new() }) };
        loop {
            if !link.flush()? {
                link.socket.writable().await?;
                continue;
            }
            if !link.session.lock().tls.is_handshaking() {
                return Ok(link);
            }
            link.socket.readable().await?;
            let mut session = link.session.lock();
            match session.receive(&link.socket) {
                Ok(true) => {}
                Ok(false) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn peer_certificate(&self) -> Result<PeerCertificate, CertificateError> {
        PeerCertificate::of(&self.session.lock().tls)
    }

    pub(crate) fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        let mut session = self.session.lock();
        loop {
            let count = session.take_plaintext(into)?;
            if count > 0 {
                return Ok(count);
            }
            if session.has_ended() || !session.receive(&self.socket)? {
                return Ok(0);
            }
        }
    }

    /// Encrypts and writes; returns how much plaintext was taken.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.lock();
        if !session.send(&self.socket)? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = session.tls.writer().write_vectored(slices)?;
        session.send(&self.socket)?;
        Ok(taken)
    }

    /// Writes ciphertext that is left over; true if none is.
    pub(crate) fn flush(&self) -> io::Result<bool> {
        self.session.lock().send(&self.socket)
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        let mut session = self.session.lock();
        session.tls.send_close_notify();
        session.send(&self.socket)?;
        drop(session);
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write).map_err(Into::into)
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn reattach(self, runtime: &Handle) -> io::Result<Self> {
        let socket = self.socket.into_std()?;
        let _inside = runtime.enter();
        Ok(Self { socket: TcpStream::from_std(socket)?, session: self.session })
    }
}

impl Session {
    /// Reads ciphertext once and decrypts it; false at the end of the stream.
    fn receive(&mut self, socket: &TcpStream) -> io::Result<bool> {
        if self.received.is_empty() {
            self.received.reserve(READ_BYTES);
            if socket.try_read_buf(&mut self.received)? == 0 {
                return Ok(false);
            }
        }
        // Rustls stops taking ciphertext while it holds decrypted bytes, so one round may not use everything up.
        while self.received.has_remaining() {
            let mut ciphertext = &self.received[..];
            let before = ciphertext.len();
            if let Err(error) = self.tls.read_tls(&mut ciphertext)
                && error.kind() != ErrorKind::Other
            {
                return Err(error);
            }
            let taken = before - ciphertext.len();
            self.received.advance(taken);
            let state = match self.tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The peer gets to know why, if the socket takes the alert.
                    drop(self.send(socket));
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
            };
            if state.plaintext_bytes_to_read() > 0 || taken == 0 {
                break;
            }
        }
        self.send(socket)?;
        Ok(true)
    }

    fn take_plaintext(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        let mut total = 0;
        loop {
            let room = into.capacity() - into.len();
            let mut reader = self.tls.reader();
            let chunk = match reader.fill_buf() {
                Ok(chunk) => &chunk[..chunk.len().min(room)],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(total),
                // A peer that ends without saying goodbye to TLS is a peer that is gone, no more and no less.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(total),
                Err(error) => return Err(error),
            };
            let count = chunk.len();
            into.extend_from_slice(chunk);
            reader.consume(count);
            total += count;
            if count == 0 {
                return Ok(total);
            }
        }
    }

    /// True once the peer has closed its side in TLS's own way.
    fn has_ended(&mut self) -> bool {
        matches!(self.tls.reader().fill_buf(), Ok(chunk) if chunk.is_empty())
    }

    fn send(&mut self, socket: &TcpStream) -> io::Result<bool> {
        let mut socket = Socket(socket);
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// A socket that never waits, as `std::io` wants it.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
