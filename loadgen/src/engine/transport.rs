//! One non-blocking connection, with or without TLS: bytes in, bytes out.
//! - Invariants: `WouldBlock` from `read` means that the socket was empty, so that the next edge will come.
//! - Errors: those of the socket; those of TLS as `InvalidData`.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use mio::net::TcpStream;
use rustls::{ClientConnection, HandshakeKind};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// A connection that may still be connecting.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Transport {
    /// Starts to connect.
    ///
    /// # Errors
    /// As the system says; `EINPROGRESS` is none.
    pub(crate) fn connect(
        target: SocketAddr,
        source: Option<IpAddr>,
        tls: Option<ClientConnection>,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = source {
            socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        }
        match socket.connect(&SockAddr::from(target)) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && !is_in_progress(&error) => return Err(error),
            _ => {}
        }
        Ok(Self { socket: TcpStream::from_std(socket.into()), tls: tls.map(Box::new) })
    }

    /// The socket, to be registered.
    pub(crate) const fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Whether connecting has come to an end.
    ///
    /// # Errors
    /// The one that connecting ended with.
    pub(crate) fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether this is TLS.
    pub(crate) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the TLS handshake resumed an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// Reads what is there; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// Takes bytes to send; fewer than given when the socket is full.
    ///
    /// # Errors
    /// As the system says, but never `WouldBlock`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = bytes.get(taken..).unwrap_or_default();
            let count = match &mut self.tls {
                Some(tls) => {
                    let count = tls.writer().write(rest)?;
                    self.flush()?;
                    count
                }
                None => accepted(self.socket.write(rest))?,
            };
            taken += count;
            if count < rest.len() {
                break;
            }
        }
        Ok(taken)
    }

    /// Sends what TLS holds back (handshake, records that didn't fit).
    ///
    /// # Errors
    /// As the system says, but never `WouldBlock`.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            if accepted(tls.write_tls(&mut self.socket))? == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn accepted(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => Ok(0),
        result => result,
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}
