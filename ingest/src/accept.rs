//! New connections: taken a bounded number a turn, entered into the slab, the epoll set and the timer wheel.
//! - Invariants: without a free descriptor, accepting rests until the next tick; sessions that are open go on.

use std::io::{self, ErrorKind};

use mio::{Interest, Token};

use crate::close::CloseReason;
use crate::command::Handed;
use crate::config::Transport;
use crate::connection::{Connection, ConnectionKey, Guest};
use crate::events;
use crate::limits::ACCEPTS_PER_TURN;
use crate::listen::ShardListener;
use crate::shard::{Shard, token};
use crate::stream::{Bridged, Stream};
use crate::tls::TlsSession;

impl Shard {
    /// Takes what the kernel holds for this shard.
    pub(crate) fn accept(&mut self) {
        let mut listeners = std::mem::take(&mut self.listeners);
        for listener in listeners.iter_mut().filter(|listener| listener.is_pending) {
            self.accept_from(listener);
        }
        self.listeners = listeners;
    }

    fn accept_from(&mut self, listener: &mut ShardListener) {
        for _ in 0..ACCEPTS_PER_TURN {
            match listener.socket.accept() {
                Ok((stream, _)) => self.enter(stream, listener),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    listener.is_pending = false;
                    return;
                }
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    // Out of descriptors or memory: tried again in a second.
                    listener.is_pending = false;
                    self.accept_rests = true;
                    events::accept_failed(self.desk.shard.0, &error);
                    return;
                }
            }
        }
    }

    fn enter(&mut self, stream: mio::net::TcpStream, listener: &ShardListener) {
        self.desk.metrics.accepted.increment(1);
        if self.connections.len() >= self.desk.config.connections_max {
            let may_log = self.desk.may_log();
            events::connection_closed(&CloseReason::TooManyConnections, None, stream.peer_addr().ok(), may_log);
            return;
        }
        let tls = match self.open_tls(listener.transport) {
            Ok(tls) => tls,
            Err(reason) => {
                return events::connection_closed(&reason, None, stream.peer_addr().ok(), self.desk.may_log());
            }
        };
        // Without it small replies wait for the peer's delayed acknowledgement. A socket that is already gone shows on reading.
        drop(stream.set_nodelay(true));
        let now = self.desk.clock.seconds();
        let patience = self.desk.config.connect_seconds_max;
        let connection = Connection::new(Stream::Tcp(stream), tls, listener.acknowledge, now, patience);
        if let Err(error) = self.take_in(connection) {
            events::accept_failed(self.desk.shard.0, &error);
        }
    }

    /// Takes a connection of another door.
    pub(crate) fn enter_handed(&mut self, handed: Handed) {
        let Handed { stream, peer, certificates } = handed;
        self.desk.metrics.accepted.increment(1);
        if self.connections.len() >= self.desk.config.connections_max || self.drain_until.is_some() {
            let may_log = self.desk.may_log();
            return events::connection_closed(&CloseReason::TooManyConnections, None, peer, may_log);
        }
        let stream = Stream::Unix(Box::new(Bridged { stream, peer }));
        let (now, config) = (self.desk.clock.seconds(), &self.desk.config);
        let mut connection = Connection::new(stream, None, config.acknowledge, now, config.connect_seconds_max);
        if !certificates.is_empty() {
            connection.guest = Some(Box::new(Guest::Arrived(certificates)));
        }
        if let Err(error) = self.take_in(connection) {
            events::accept_failed(self.desk.shard.0, &error);
        }
    }

    /// Enters a connection into slab, epoll set and timer wheel.
    pub(crate) fn take_in(&mut self, mut connection: Connection) -> io::Result<ConnectionKey> {
        self.generation = self.generation.wrapping_add(1);
        connection.generation = self.generation;
        let entry = self.connections.vacant_entry();
        let slot = u32::try_from(entry.key()).map_err(io::Error::other)?;
        let key = ConnectionKey { slot, generation: self.generation };
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut connection.stream, token(key), interest)?;
        connection.wheel_at = self.wheel.schedule(key, connection.deadline().saturating_add(1));
        entry.insert(connection);
        Ok(key)
    }

    fn open_tls(&self, transport: Transport) -> Result<Option<Box<TlsSession>>, CloseReason> {
        match (transport, &self.tls) {
            (Transport::Tcp, _) => Ok(None),
            (Transport::Tls, None) => Err(CloseReason::Tls("no certificate".to_owned())),
            (Transport::Tls, Some(config)) => TlsSession::new(config.load_full())
                .map(|session| Some(Box::new(session)))
                .map_err(|error| CloseReason::Tls(error.to_string())),
        }
    }

    /// Stops listening; what the kernel had queued is refused by it.
    pub(crate) fn stop_accepting(&mut self) {
        self.listeners.clear();
    }

    /// Enters the listening sockets into the epoll set.
    pub(crate) fn listen(&mut self) -> io::Result<()> {
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            self.registry.register(&mut listener.socket, Token(usize::MAX - 1 - number), Interest::READABLE)?;
        }
        Ok(())
    }
}
