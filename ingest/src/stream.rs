//! The byte stream of a connection: a TCP socket, or one end of a socket pair that another door feeds.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

/// See the module's documentation.
pub(crate) enum Stream {
    Tcp(TcpStream),
    /// In a box, so that the many connections of the other kind stay small.
    Unix(Box<Bridged>),
}

/// What another door has handed over.
pub(crate) struct Bridged {
    pub(crate) stream: UnixStream,
    /// Who is at the other door.
    pub(crate) peer: Option<SocketAddr>,
}

impl Stream {
    /// Who is at the other end, as far as it is known.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(bridged) => bridged.peer,
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(bridged) => &mut bridged.stream,
        }
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(room),
            Self::Unix(bridged) => bridged.stream.read(room),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(bridged) => bridged.stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}
