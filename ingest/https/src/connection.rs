//! One connection: handshake, then requests one after the other, each with what is known of the peer in its extensions.
//! - Limits: time for the handshake and for each head (also the wait for the next one), size and number of headers.
//! - Errors: a peer's fault costs its connection, and a line at level debug.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use millrace_protocols_identity::x509::ClientCertificates;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;
use tower_service::Service as _;

use crate::body::PacedBody;
use crate::door::{HttpsDoor, Place, Security};
use crate::events;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use crate::stream::{Stream, Transport};
use crate::websocket;

/// What is known of a peer.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) certificates: ClientCertificates,
    pub(crate) place: Place,
}

/// Serves a connection to its end.
pub(crate) async fn run(
    door: Arc<HttpsDoor>,
    stream: TcpStream,
    address: SocketAddr,
    security: Security,
    place: Place,
    mut stopped: watch::Receiver<bool>,
) {
    // Answers are small and whole: they should not wait for one another.
    drop(stream.set_nodelay(true));
    let Some((transport, certificates)) = handshake(&door, stream, &security).await else {
        door.metrics.handshakes_failed.increment(1);
        return;
    };
    let peer = Peer { address, certificates, place };
    let stream = TokioIo::new(Stream::new(transport, door.config.write_time()));
    let serving = Arc::clone(&door);
    let service = service_fn(move |request| {
        let (door, peer) = (Arc::clone(&serving), peer.clone());
        async move { Ok::<_, Infallible>(answer(&door, peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(door.config.idle_seconds))
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(stream, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        door.metrics.broken.increment(1);
        events::connection_broken(address, &error);
    }
}

async fn handshake(
    door: &HttpsDoor,
    stream: TcpStream,
    security: &Security,
) -> Option<(Transport, ClientCertificates)> {
    let Security::Tls(config) = security else {
        return Some((Transport::Plain(stream), ClientCertificates::default()));
    };
    let shaken = tokio::time::timeout(door.config.handshake_time(), async {
        // A turn is for those who have said hello: peers that say nothing would keep out those who do.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
        let _turn = door.handshakes.acquire().await.ok()?;
        hello.into_stream(config.load_full()).await.ok()
    });
    let stream = shaken.await.ok().flatten()?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain: Vec<Vec<u8>> = chain.iter().map(|certificate| certificate.to_vec()).collect();
    Some((Transport::Tls(Box::new(stream)), ClientCertificates(chain.into())))
}

async fn answer(door: &HttpsDoor, peer: Peer, request: Request<Incoming>) -> Response<Body> {
    let response = if websocket::is_for(request.uri().path()) {
        websocket::answer(door, peer, request)
    } else {
        route(door, &peer, request).await
    };
    door.metrics.answered(response.status().as_u16());
    response
}

async fn route(door: &HttpsDoor, peer: &Peer, mut request: Request<Incoming>) -> Response<Body> {
    request.extensions_mut().insert(ConnectInfo(peer.address));
    request.extensions_mut().insert(peer.certificates.clone());
    // Without a body there is nothing to pace, which is most requests.
    let has_body = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
        .iter()
        .any(|name| request.headers().get(name).is_some_and(|value| value != "0"));
    let request = if has_body {
        request.map(|body| Body::new(PacedBody::new(body, &door.config)))
    } else {
        request.map(|_| Body::empty())
    };
    let mut router = door.router.clone();
    match router.as_service::<Body>().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
