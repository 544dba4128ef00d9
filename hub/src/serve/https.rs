//! The HTTPS listener: device API, MQTT over WebSocket, service API, file uploads, provisioning, on one address.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use millrace_ingest::Doorway;
use millrace_ingest_https::{HttpsConfig, HttpsDoor, Security};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// For what takes no time, on a busy machine.
const MOMENT: Duration = Duration::from_secs(1);

/// Listeners that are bound, with how their peers are talked to.
pub(crate) struct Bound(Vec<(TcpListener, Security)>);

/// Listeners that are served.
pub(crate) struct Serving {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// For requests under way, once it stops.
    drain: Duration,
}

/// Binds the addresses, so that a port already taken is found at start.
pub(crate) async fn bind(config: &HttpsConfig, is_default: bool, tls: Option<Security>) -> anyhow::Result<Bound> {
    let mut bound = Vec::new();
    if let (Some(address), Some(tls)) = (config.listen, tls) {
        match TcpListener::bind(address).await {
            Ok(listener) => bound.push((listener, tls)),
            Err(error) if is_default && matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::AddrInUse) => {
                tracing::warn!(%address, %error, "no HTTPS and no MQTT over WebSocket: name another address with --https");
            }
            Err(error) => return Err(explained(error, address)),
        }
    }
    if let Some(address) = config.listen_plain {
        let listener = TcpListener::bind(address).await.map_err(|error| explained(error, address))?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "HTTP without TLS on an address that others reach");
        }
        bound.push((listener, Security::Plain));
    }
    Ok(Bound(bound))
}

/// With what can be done about it.
fn explained(error: std::io::Error, address: SocketAddr) -> anyhow::Error {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => {
            ": ports below 1024 need the capability CAP_NET_BIND_SERVICE, or a service manager or container that forwards the port"
        }
        ErrorKind::AddrInUse => ": another program has the port; name another address with --https",
        _ => "",
    };
    anyhow::Error::new(error).context(format!("cannot listen on {address} (HTTPS){hint}"))
}

impl Bound {
    /// Serves until [`Serving::stop`].
    pub(crate) fn serve(self, config: HttpsConfig, router: Router, doorway: &Doorway) -> Serving {
        let drain = Duration::from_secs(config.drain_seconds);
        let door = HttpsDoor::new(config, router, Some(Arc::new(doorway.clone())));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (listener, security) in self.0 {
            let mut stopped = stopped.clone();
            let stopped = async move {
                // An error says that the sender is gone, and with it the hub.
                drop(stopped.wait_for(|stopped| *stopped).await);
            };
            tasks.spawn(Arc::clone(&door).serve(listener, security, stopped));
        }
        Serving { stop, tasks, drain }
    }
}

impl Serving {
    /// Takes no more connections, lets requests under way end, and waits for that as long as `drain_seconds` say.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // The door itself says what it had to cut off; it gets a moment to do so.
        if tokio::time::timeout(self.drain + MOMENT, all).await.is_err() {
            tracing::warn!("HTTPS connections were cut off");
        }
    }
}
