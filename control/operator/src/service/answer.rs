//! What a hub answers.

use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::CONTINUATION;
use crate::error::OperatorError;
use crate::limits::{ANSWER_BYTES_MAX, EXPLANATION_CHARACTERS_MAX};

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    /// Wiped when it goes: it can hold keys.
    body: Zeroizing<Vec<u8>>,
}

impl Answer {
    pub(super) async fn read(mut response: reqwest::Response) -> Result<Self, OperatorError> {
        let mut body = Zeroizing::new(Vec::new());
        let failed = |error: reqwest::Error| OperatorError::Unreachable(error.without_url());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(OperatorError::Answer);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self { status: response.status().as_u16(), headers: std::mem::take(response.headers_mut()), body })
    }

    /// Itself, if its status is one of these.
    pub(super) fn checked(self, accepted: &[u16]) -> Result<Self, OperatorError> {
        if accepted.contains(&self.status) { Ok(self) } else { Err(self.refusal()) }
    }

    /// HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// A header, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Where the next page begins; `None` on the last one.
    #[must_use]
    pub fn continuation(&self) -> Option<String> {
        self.header(CONTINUATION).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The body, as what it is expected to be.
    ///
    /// # Errors
    /// When it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, OperatorError> {
        serde_json::from_slice(&self.body).map_err(|_| OperatorError::Answer)
    }

    /// The refusal that the body explains, in either of the shapes that hubs use.
    pub(crate) fn refusal(&self) -> OperatorError {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |name| body.get(name).and_then(Value::as_str);
        let (name, long_text) = text("Message").and_then(|message| message.split_once(';')).unwrap_or_default();
        let name = name.strip_prefix("ErrorCode:").or_else(|| self.header("iothub-errorcode")).unwrap_or("no name");
        let text = text("message").unwrap_or(if long_text.is_empty() { "no explanation" } else { long_text });
        // What comes from outside goes to a terminal: no control characters, and not without end.
        let shown = |text: &str| crate::table::plain(text).chars().take(EXPLANATION_CHARACTERS_MAX).collect::<String>();
        OperatorError::Refused {
            status: self.status,
            code: body.get("errorCode").and_then(Value::as_u64).unwrap_or_default(),
            name: shown(name),
            text: shown(text),
        }
    }
}
