//! Listening sockets: one per shard on each address, so that the kernel spreads connections over the shards.
//! - Invariants: `SO_REUSEPORT` would let two hubs share a port in silence; the address is therefore first taken alone.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{AcknowledgeLevel, IngestConfig, ListenerConfig, Transport};

/// Connections that the kernel keeps for a shard that is busy; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}{}", hint(.source))]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": another program has this port",
        io::ErrorKind::PermissionDenied => ": ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => ": no interface of this machine has this address",
        _ => "",
    }
}

/// One shard's socket on one address.
#[derive(Debug)]
pub(crate) struct ShardListener {
    pub(crate) socket: TcpListener,
    pub(crate) transport: Transport,
    pub(crate) acknowledge: AcknowledgeLevel,
    /// The kernel may hold more connections than were taken.
    pub(crate) is_pending: bool,
}

/// All sockets of all shards, bound.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) by_shard: Vec<Vec<ShardListener>>,
    addresses: Vec<(Transport, SocketAddr)>,
}

impl Listeners {
    /// Binds every address for every shard.
    ///
    /// # Errors
    /// Names the first address that cannot be had, and why.
    pub fn bind(config: &IngestConfig) -> Result<Self, BindError> {
        let mut by_shard: Vec<Vec<ShardListener>> = (0..config.shards).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for listener in &config.listeners {
            let named = |source| BindError { address: listener.address, source };
            let address = claim(listener.address).map_err(named)?;
            addresses.push((listener.transport, address));
            for sockets in &mut by_shard {
                sockets.push(open(listener, address).map_err(named)?);
            }
        }
        Ok(Self { by_shard, addresses })
    }

    /// The addresses really bound, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.addresses
    }
}

/// Finds out whether nobody else has the address; picks a port where it is 0.
fn claim(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

fn open(listener: &ListenerConfig, address: SocketAddr) -> io::Result<ShardListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(ShardListener {
        socket: TcpListener::from_std(socket.into()),
        transport: listener.transport,
        acknowledge: listener.acknowledge,
        is_pending: true,
    })
}
