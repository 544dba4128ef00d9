//! The listener: accepts, bounds, and gives each connection a task of its own.
//! - Invariants: a connection holds a permit from accept to its very end, also when it has become a WebSocket.
//! - Limits: `connections_max` (more are closed at once), `handshakes_max` (more wait).
//! - Not here: what is answered; that is the router's, which the hub puts together.

use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use millrace_ingest::Doorway;
use millrace_model::HubError;
use millrace_model::door::Full;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::config::HttpsConfig;
use crate::connection;
use crate::error::Refusal;
use crate::events::{self, DoorMetrics};
use crate::limits::ACCEPT_PAUSE;

/// Who takes over the MQTT inside of WebSockets.
pub trait Shards: Send + Sync {
    /// Takes one end of a socket pair that carries plain MQTT. Must not block.
    ///
    /// # Errors
    /// [`Full`]: there is no room for another connection.
    fn adopt(&self, stream: UnixStream, peer: SocketAddr, certificates: Arc<[Vec<u8>]>) -> Result<(), Full>;
}

impl Shards for Doorway {
    fn adopt(&self, stream: UnixStream, peer: SocketAddr, certificates: Arc<[Vec<u8>]>) -> Result<(), Full> {
        Self::adopt(self, stream, Some(peer), certificates).map_err(|_| Full)
    }
}

/// How peers of a listener are talked to.
#[derive(Clone)]
pub enum Security {
    /// TLS, with settings that may be exchanged at run time.
    Tls(Arc<ArcSwap<ServerConfig>>),
    /// Nothing: a proxy in front ends TLS.
    Plain,
}

/// The HTTPS door. One for all its listeners.
pub struct HttpsDoor {
    pub(crate) config: HttpsConfig,
    pub(crate) router: Router,
    pub(crate) shards: Option<Arc<dyn Shards>>,
    pub(crate) metrics: DoorMetrics,
    pub(crate) handshakes: Semaphore,
    permits: Arc<Semaphore>,
}

/// Keeps a place among the connections for as long as any part of a connection lives.
#[derive(Clone)]
pub(crate) struct Place(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

impl HttpsDoor {
    /// A door that answers with `router`, and hands the MQTT of WebSockets to `shards`; with no shards there are no WebSockets.
    #[must_use]
    pub fn new(config: HttpsConfig, router: Router, shards: Option<Arc<dyn Shards>>) -> Arc<Self> {
        Arc::new(Self {
            router: router.fallback(|| async { Refusal(HubError::RESOURCE_NOT_FOUND) }),
            shards,
            metrics: DoorMetrics::new(),
            handshakes: Semaphore::new(config.handshakes_max),
            permits: Arc::new(Semaphore::new(config.connections_max)),
            config,
        })
    }

    /// Serves one listener until `stop` is done; then takes no more connections, lets requests under way end, and returns
    /// when all are gone or `drain_seconds` are over. WebSockets end when their shards do.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        security: Security,
        stop: impl Future<Output = ()> + Send,
    ) {
        events::opened(listener.local_addr().ok());
        let (stopping, stopped) = watch::channel(false);
        let mut stop = std::pin::pin!(stop);
        loop {
            // Both arms may be dropped at any time: a connection that was not returned stays in the backlog.
            tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer, &security, &stopped),
                    Err(error) => {
                        events::accept_failed(&error);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        stopping.send_replace(true);
        drop(stopped);
        let drained = tokio::time::timeout(Duration::from_secs(self.config.drain_seconds), stopping.closed()).await;
        events::closed(if drained.is_ok() { 0 } else { stopping.receiver_count() });
    }

    fn admit(
        self: &Arc<Self>,
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
        security: &Security,
        stopped: &watch::Receiver<bool>,
    ) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.metrics.refused.increment(1);
            return;
        };
        self.metrics.connections.increment(1);
        let (door, security, stopped) = (Arc::clone(self), security.clone(), stopped.clone());
        let place = Place(Arc::new(permit));
        drop(tokio::spawn(connection::run(door, stream, peer, security, place, stopped)));
    }
}

impl std::fmt::Debug for HttpsDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpsDoor").field("config", &self.config).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tls(_) => "Tls",
            Self::Plain => "Plain",
        })
    }
}
