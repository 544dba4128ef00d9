//! Etags: stamps as the text that SDKs carry around.
//! - Shape: base64 of the stamp, big endian; unquoted in bodies, quoted in headers.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::ServiceError;
use millrace_control_store::registry::{Expected, Stamp};

pub(crate) fn text(stamp: Stamp) -> String {
    STANDARD.encode(stamp.0.to_be_bytes())
}

/// An etag that is none of ours matches nothing: stamps are positive.
pub(crate) fn parse(text: &str) -> Expected {
    match text.trim().trim_matches('"') {
        "*" => Expected::Any,
        etag => {
            let bytes = STANDARD.decode(etag).ok().and_then(|bytes| bytes.try_into().ok());
            Expected::Etag(Stamp(bytes.map_or(-1, i64::from_be_bytes)))
        }
    }
}

/// What `If-Match` asks for; `None` without that header.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<Expected>, ServiceError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().map_err(|_| ServiceError::argument("If-Match is not text"))?;
    Ok(Some(parse(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_bare_etags_are_the_same() {
        let stamp = Stamp(638_501_544_000_000_007);
        assert_eq!(parse(&text(stamp)), Expected::Etag(stamp));
        assert_eq!(parse(&format!("\"{}\"", text(stamp))), Expected::Etag(stamp));
        assert_eq!((parse("*"), parse("\"*\"")), (Expected::Any, Expected::Any));
        assert_eq!(parse("\"foreign\""), Expected::Etag(Stamp(-1)));
    }
}
