//! MQTT inside of WebSockets: the handshake, and a task that carries bytes between the WebSocket and a shard.
//! - Source: RFC 6455; Azure IoT Hub: any path that ends with `/$iothub/websocket`, subprotocol `mqtt`.
//! - Invariants: nothing is held but one buffer for each direction: a shard that does not read stops the device, and the other way round.
//! - Limits: no extension is granted, so nothing is ever decompressed.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use millrace_model::HubError;
use millrace_model::door::Full;

use crate::connection::Peer;
use crate::door::{HttpsDoor, Shards};
use crate::error::Refusal;

mod bridge;
mod frame;
mod handshake;
#[cfg(test)]
mod tests;

/// End of the paths that are for WebSockets; Node puts a port before it when its host name has one.
const PATH_END: &str = "/$iothub/websocket";

/// Likewise, for AMQP of the Python service SDK.
const SERVICE_PATH_END: &str = "/$servicebus/websocket";

/// Whether a request for this path is answered here.
pub(crate) fn is_for(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    [PATH_END, SERVICE_PATH_END].iter().any(|end| {
        path.ends_with(end)
            || path.strip_suffix(end.trim_start_matches("/$")).is_some_and(|rest| rest.ends_with("/%24"))
    })
}

/// Answers the request to become a WebSocket, and starts the task that carries its bytes.
pub(crate) fn answer(door: &HttpsDoor, peer: Peer, mut request: Request<Incoming>) -> Response<Body> {
    let accepted = match handshake::accept(request.method(), request.headers()) {
        Ok(accepted) => accepted,
        Err(refused) => return refused,
    };
    let Some(stream) = door.shards.as_deref().and_then(|shards| pair(shards, &peer, peer.address).ok()) else {
        return Refusal(HubError::UNAVAILABLE).into_response();
    };
    door.metrics.websockets.increment(1);
    let upgraded = hyper::upgrade::on(&mut request);
    drop(tokio::spawn(async move {
        // Held as long as the WebSocket lives.
        let _place = peer.place;
        if let Ok(upgraded) = upgraded.await {
            bridge::carry(TokioIo::new(upgraded), stream).await;
        }
    }));
    accepted
}

/// Gives one end of a socket pair to a shard; the answer is the other one.
fn pair(shards: &dyn Shards, peer: &Peer, address: SocketAddr) -> Result<tokio::net::UnixStream, Full> {
    let (own, theirs) = UnixStream::pair().map_err(|_| Full)?;
    own.set_nonblocking(true).and_then(|()| theirs.set_nonblocking(true)).map_err(|_| Full)?;
    let own = tokio::net::UnixStream::from_std(own).map_err(|_| Full)?;
    shards.adopt(theirs, address, peer.certificates.0.clone())?;
    Ok(own)
}
