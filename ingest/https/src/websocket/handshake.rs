//! The HTTP request that asks for a WebSocket. Pure.
//! - Source: RFC 6455 section 4.2.

use aws_lc_rs::digest;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_model::HubError;

use crate::error::Refusal;

/// Put behind the client's key before it is hashed.
const SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The only subprotocol spoken.
const MQTT: &str = "mqtt";

/// That of AMQP.
const AMQP: &str = "AMQPWSB10";

/// The answer that makes it a WebSocket, or, as error, the one that refuses it.
#[expect(clippy::result_large_err, reason = "both are the answer")]
pub(super) fn accept(method: &Method, headers: &HeaderMap) -> Result<Response<Body>, Response<Body>> {
    let refuse = |why: &'static str| Refusal(HubError::ARGUMENT.because(why)).into_response();
    if method != Method::GET || !has_token(headers, &header::UPGRADE, "websocket") {
        let upgrade = [(header::UPGRADE, "websocket")];
        return Err((StatusCode::UPGRADE_REQUIRED, upgrade).into_response());
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(refuse("the Connection header does not name the upgrade"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
        return Err((StatusCode::UPGRADE_REQUIRED, version).into_response());
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if !STANDARD.decode(key).is_ok_and(|key| key.len() == 16) {
        return Err(refuse("the key of the WebSocket is not 16 bytes in base64"));
    }
    if !tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|protocol| protocol == MQTT) {
        let asks_amqp = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|protocol| protocol == AMQP);
        return Err(refuse(if asks_amqp {
            "AMQP over WebSocket is not spoken here, MQTT over WebSocket is"
        } else {
            "the subprotocol of the WebSocket has to be mqtt"
        }));
    }
    let headers = [
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::SEC_WEBSOCKET_ACCEPT, proof(key)),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(MQTT)),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// Shows the client that its key was read.
fn proof(key: &[u8]) -> HeaderValue {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(SALT);
    let text = STANDARD.encode(context.finish());
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn has_token(headers: &HeaderMap, name: &header::HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(changes: &[(header::HeaderName, Option<&'static str>)]) -> Result<Response<Body>, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::UPGRADE, "WebSocket"),
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (header::SEC_WEBSOCKET_PROTOCOL, "mqttv3.1, mqtt"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in changes {
            match value {
                Some(value) => drop(headers.insert(name, HeaderValue::from_static(value))),
                None => drop(headers.remove(name)),
            }
        }
        accept(&Method::GET, &headers).map_err(|refused| refused.status().as_u16())
    }

    #[test]
    fn the_sample_of_the_specification_is_answered() {
        let accepted = asking(&[]).unwrap();
        assert_eq!(accepted.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(accepted.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accepted.headers()[header::SEC_WEBSOCKET_PROTOCOL], "mqtt");
        let deflate = [(header::SEC_WEBSOCKET_EXTENSIONS, Some("permessage-deflate"))];
        assert!(!asking(&deflate).unwrap().headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS));
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        for (name, value, status) in [
            (header::UPGRADE, None, 426),
            (header::UPGRADE, Some("h2c"), 426),
            (header::CONNECTION, Some("keep-alive"), 400),
            (header::SEC_WEBSOCKET_VERSION, Some("8"), 426),
            (header::SEC_WEBSOCKET_KEY, Some("c2hvcnQ="), 400),
            (header::SEC_WEBSOCKET_KEY, None, 400),
            (header::SEC_WEBSOCKET_PROTOCOL, None, 400),
            (header::SEC_WEBSOCKET_PROTOCOL, Some("MQTT"), 400),
            (header::SEC_WEBSOCKET_PROTOCOL, Some("AMQPWSB10"), 400),
        ] {
            assert_eq!(asking(&[(name.clone(), value)]).err(), Some(status), "{name}: {value:?}");
        }
        assert!(accept(&Method::POST, &HeaderMap::new()).is_err());
    }
}
