//! SAS tokens: parse, verify, scope, sign. Does not know who is registered: the caller brings the keys.
//! - Source: Azure IoT Hub security tokens, and the encodings of `sr` that SDKs were seen to send.
//! - Shape: `SharedAccessSignature sr={resource}&sig={signature}&se={expiry}[&skn={policy}]`, pairs in any order;
//!   signature = base64(HMAC-SHA256(key, sr as sent + line feed + se as sent)), percent-encoded.
//! - Units: times are whole UNIX seconds.
//! - Invariants: the HMAC covers the bytes of `sr` and `se` as they were sent, because clients encode `sr` in at least
//!   four ways and sign what they send. All keys are tried, in constant time, whichever matches.
//! - Limits: a token has at most [`TOKEN_BYTES_MAX`] bytes.
//! - Errors: [`TokenError`]. Never panics.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::TokenError;
use crate::key::{BASE64, Key};

/// Longest token: the longest resource (host 253, two ids of 128 each encoded threefold) and its fields stay under 2 KiB.
pub const TOKEN_BYTES_MAX: usize = 4096;

const SCHEME: &str = "SharedAccessSignature";
const SIGNATURE_BYTES: usize = 32;
/// What `encodeURIComponent` and its kin leave alone, common to all languages.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A parsed, not yet verified token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token<'a> {
    resource_as_sent: &'a str,
    resource: Cow<'a, str>,
    expiry_as_sent: &'a str,
    expires_at: u64,
    policy: Option<Cow<'a, str>>,
    signature: [u8; SIGNATURE_BYTES],
}

impl<'a> Token<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// When a field is missing, doubled or cannot be decoded.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { max: TOKEN_BYTES_MAX });
        }
        let (scheme, pairs) = text.trim().split_once(' ').ok_or(TokenError::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(TokenError::Scheme);
        }
        let fields = Fields::read(pairs.trim_start())?;
        let resource_as_sent = fields.resource.ok_or(TokenError::Missing { field: "sr" })?;
        let expiry_as_sent = fields.expiry.ok_or(TokenError::Missing { field: "se" })?;
        let signature = fields.signature.ok_or(TokenError::Missing { field: "sig" })?;
        Ok(Self {
            resource_as_sent,
            resource: decode(resource_as_sent, "sr")?,
            expiry_as_sent,
            expires_at: seconds(expiry_as_sent)?,
            policy: fields.policy.map(|policy| decode(policy, "skn")).transpose()?,
            signature: decode_signature(signature)?,
        })
    }

    /// Name of the policy whose key signed the token; `None` when it was a device's or module's own key.
    /// An empty `skn` counts as none.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref().filter(|policy| !policy.is_empty())
    }

    /// When the token ends, in UNIX seconds.
    #[must_use]
    pub const fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// What the token is good for, decoded.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Checks the signature against all of `keys` and the expiry against `now_unix_seconds`.
    ///
    /// # Errors
    /// [`TokenError::Signature`] when no key made the signature, else [`TokenError::Expired`] when it is too late.
    pub fn verify(&self, keys: &[&Key], now_unix_seconds: u64, skew_seconds: u64) -> Result<(), TokenError> {
        let mut matches = false;
        for key in keys {
            let expected = signature(self.resource_as_sent, self.expiry_as_sent, key);
            matches |= constant_time::verify_slices_are_equal(expected.as_ref(), &self.signature).is_ok();
        }
        if !matches {
            return Err(TokenError::Signature);
        }
        if self.expires_at.saturating_add(skew_seconds) < now_unix_seconds {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// Whether the token is good for this device or module of this hub.
    #[must_use]
    pub fn covers(&self, host: &str, device_id: &str, module_id: Option<&str>) -> bool {
        match module_id {
            Some(module_id) => self.covers_path(host, &["devices", device_id, "modules", module_id]),
            None => self.covers_path(host, &["devices", device_id]),
        }
    }

    /// Whether the token's resource is `host` followed by a prefix of `path`, segment by segment: `a/b` is good for
    /// `a/b/c` and not for `a/bc`. The host compares without case and without port, the rest exactly.
    #[must_use]
    pub fn covers_path(&self, host: &str, path: &[&str]) -> bool {
        // Published samples carry "/?api-version=..." behind the resource.
        let resource = self.resource.split("/?api-version=").next().unwrap_or_default();
        let mut segments = resource.strip_suffix('/').unwrap_or(resource).split('/');
        let scope_host = without_port(segments.next().unwrap_or_default());
        if scope_host.is_empty() || !scope_host.eq_ignore_ascii_case(without_port(host)) {
            return false;
        }
        let mut path = path.iter();
        segments.all(|segment| path.next().is_some_and(|wanted| *wanted == segment))
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("resource", &self.resource)
            .field("expires_at", &self.expires_at)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Makes a token. `resource` must be encoded as it is to be sent: see [`encode`].
#[must_use]
pub fn sign(resource: &str, key: &Key, expiry_unix_seconds: u64, policy: Option<&str>) -> String {
    let expiry = expiry_unix_seconds.to_string();
    let signature = encode(&BASE64.encode(signature(resource, &expiry, key)));
    let policy = policy.map(|policy| format!("&skn={}", encode(policy))).unwrap_or_default();
    format!("{SCHEME} sr={resource}&sig={signature}&se={expiry}{policy}")
}

/// Percent-encodes one component, in upper-case hex.
#[must_use]
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

#[derive(Default)]
struct Fields<'a> {
    resource: Option<&'a str>,
    signature: Option<&'a str>,
    expiry: Option<&'a str>,
    policy: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn read(pairs: &'a str) -> Result<Self, TokenError> {
        let mut fields = Self::default();
        for pair in pairs.split('&') {
            // Base64 ends in '=': only the first one separates.
            let Some((name, value)) = pair.split_once('=') else { continue };
            let (slot, field) = match name {
                "sr" => (&mut fields.resource, "sr"),
                "sig" => (&mut fields.signature, "sig"),
                "se" => (&mut fields.expiry, "se"),
                "skn" => (&mut fields.policy, "skn"),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(TokenError::Duplicate { field });
            }
        }
        Ok(fields)
    }
}

fn signature(resource: &str, expiry: &str, key: &Key) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
    context.update(resource.as_bytes());
    context.update(b"\n");
    context.update(expiry.as_bytes());
    context.sign()
}

/// Percent-decodes; a plus sign is a plus sign, because base64 and ids have it.
fn decode<'a>(text: &'a str, field: &'static str) -> Result<Cow<'a, str>, TokenError> {
    percent_decode_str(text).decode_utf8().map_err(|_| TokenError::Field { field })
}

fn decode_signature(text: &str) -> Result<[u8; SIGNATURE_BYTES], TokenError> {
    const FIELD: TokenError = TokenError::Field { field: "sig" };
    let bytes = BASE64.decode(decode(text, "sig")?.as_bytes()).map_err(|_| FIELD)?;
    bytes.try_into().map_err(|_| FIELD)
}

fn seconds(text: &str) -> Result<u64, TokenError> {
    // `u64::from_str` would take a leading plus sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TokenError::Field { field: "se" });
    }
    text.parse().map_err(|_| TokenError::Field { field: "se" })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests;
