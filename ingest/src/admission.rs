//! Decides whether somebody is let in, and as whom. Pure: registry and time are arguments; the same for every protocol.
//! - Source: Azure IoT Hub's SAS tokens and X.509 authentication.
//! - Invariants: an unknown device and a wrong key are refused alike. A device that proves itself by certificate is not let in with a
//!   token of its own, nor the other way round.
//! - Errors: [`Refused`]: a kind that each protocol has its answer to, and words for the log that never hold a token.

use std::sync::Arc;

use millrace_model::identity::{SAS_METHODS, X509_METHODS};
use millrace_model::{Identity, IdentityName, IdentityRef};
use millrace_protocols_identity::sas::Token;
use millrace_protocols_identity::x509::{X509Error, leaf_validity};
use millrace_protocols_identity::{Key, TokenError};

use crate::directory::{Directory, Found, Proof};
use crate::limits::TOKEN_SKEW_SECONDS;

/// What somebody shows at a door.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Device id.
    pub device_id: &'a str,
    /// Module id, when a module connects.
    pub module_id: Option<&'a str>,
    /// The hub's name as the client knows it; `None` where the protocol has no word for it.
    pub host: Option<&'a str>,
    /// A SAS token. It counts, where there is a certificate too.
    pub token: Option<&'a str>,
    /// The chain of a client certificate as DER, leaf first; TLS has shown that the client holds the leaf's key.
    pub certificates: &'a [Vec<u8>],
    /// DTDL model announced.
    pub model_id: Option<&'a str>,
}

/// Somebody who is let in.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Who.
    pub name: Arc<IdentityName>,
    /// Stamped on each of its messages.
    pub identity: Identity,
    /// Seconds since 1970 after which it is over.
    pub expires_at: u64,
}

/// Somebody who is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// What the protocol answers.
    pub kind: RefusedKind,
    /// For the log; never holds a secret.
    pub why: &'static str,
}

/// Kinds of [`Refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// There is no credential, or one that cannot be read.
    Malformed,
    /// The credential is not good, whatever the registry says.
    Unauthorized,
    /// The credential is not good by what this node knows of the registry: worth another look once the node knows all.
    Unknown,
}

const WRONG: Refused = refused(RefusedKind::Unknown, "unknown device or wrong credential");

const fn refused(kind: RefusedKind, why: &'static str) -> Refused {
    Refused { kind, why }
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("device_id", &self.device_id)
            .field("module_id", &self.module_id)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// See the module's documentation. `host_names` are those that a token may be made out for; none: whatever the client says it dialled.
///
/// # Errors
/// Why not.
pub fn admit(
    credentials: &Credentials<'_>,
    directory: &dyn Directory,
    host_names: &[String],
    now_unix_seconds: u64,
) -> Result<Admitted, Refused> {
    let (device_id, module_id) = (credentials.device_id, credentials.module_id);
    let name = IdentityName::new(device_id, module_id)
        .map_err(|_| refused(RefusedKind::Malformed, "an id that cannot be one"))?;
    if !credentials.host.is_none_or(|host| is_own_host(host, host_names)) {
        return Err(refused(RefusedKind::Unauthorized, "the host name is not one of this hub's"));
    }
    let found = directory.find(device_id, module_id);
    let (auth_method, expires_at) = match credentials.token {
        Some(token) => check_token(token, credentials, found.as_ref(), directory, host_names, now_unix_seconds)?,
        None => check_certificates(credentials, found.as_ref(), directory, now_unix_seconds)?,
    };
    let found = found.ok_or(WRONG)?;
    if !found.enabled {
        return Err(refused(RefusedKind::Unknown, "the device is disabled"));
    }
    let identity = Identity::new(&IdentityRef {
        device_id,
        module_id,
        generation_id: &found.generation_id,
        auth_method,
        model_id: credentials.model_id,
    });
    let identity = identity.ok_or(refused(RefusedKind::Malformed, "a line feed in the model id"))?;
    Ok(Admitted { name: Arc::new(name), identity, expires_at })
}

fn is_own_host(host: &str, host_names: &[String]) -> bool {
    let name = host.split(':').next().unwrap_or(host);
    host_names.is_empty()
        || host_names.iter().any(|own| own.eq_ignore_ascii_case(name) || own.eq_ignore_ascii_case(host))
}

/// Who vouches for the connection, as `iothub-connection-auth-method` says it: the identity's own key, or a policy of the hub; and until
/// when.
fn check_token(
    token: &str,
    credentials: &Credentials<'_>,
    found: Option<&Found>,
    directory: &dyn Directory,
    host_names: &[String],
    now_unix_seconds: u64,
) -> Result<(&'static str, u64), Refused> {
    let token = Token::parse(token)
        .map_err(|_| refused(RefusedKind::Malformed, "the credential is not a shared access signature"))?;
    let [of_policy, of_device, of_module] = SAS_METHODS;
    let (keys, auth_method) = match token.policy() {
        Some(name) => {
            let policy = directory.policy(name).filter(|policy| policy.device_connect);
            (Some(policy.ok_or(refused(RefusedKind::Unauthorized, WRONG.why))?.keys), of_policy)
        }
        None => match found.map(|found| &found.proof) {
            Some(Proof::Keys(keys)) => {
                (Some(Arc::clone(keys)), if credentials.module_id.is_some() { of_module } else { of_device })
            }
            _ => (None, of_device),
        },
    };
    // An unknown identity costs the same work as a wrong key, so that the time tells nothing.
    let decoy = Key::decoy();
    let [primary, secondary] = keys.as_deref().map_or([&decoy; 2], |[primary, secondary]| [primary, secondary]);
    let verified = token.verify(&[primary, secondary], now_unix_seconds, TOKEN_SKEW_SECONDS);
    if keys.is_none() {
        return Err(WRONG);
    }
    verified.map_err(|error| match error {
        TokenError::Expired => refused(RefusedKind::Unauthorized, "the token expired"),
        _ => WRONG,
    })?;
    if !covers(&token, credentials, host_names) {
        return Err(refused(RefusedKind::Unauthorized, "the token is made out for something else"));
    }
    Ok((auth_method, token.expires_at().saturating_add(TOKEN_SKEW_SECONDS)))
}

/// Whether the token is good for the identity, at the host that the client dialled or, where nobody knows that, at any of the hub's.
fn covers(token: &Token<'_>, credentials: &Credentials<'_>, host_names: &[String]) -> bool {
    let covers = |host: &str| token.covers(host, credentials.device_id, credentials.module_id);
    match credentials.host {
        Some(host) => covers(host),
        None if host_names.is_empty() => covers(token.resource().split('/').next().unwrap_or_default()),
        None => host_names.iter().any(|host| covers(host)),
    }
}

fn check_certificates(
    credentials: &Credentials<'_>,
    found: Option<&Found>,
    directory: &dyn Directory,
    now_unix_seconds: u64,
) -> Result<(&'static str, u64), Refused> {
    let leaf = credentials.certificates.first();
    let leaf = leaf.ok_or(refused(RefusedKind::Malformed, "neither password nor certificate"))?;
    let validity = match found.map(|found| &found.proof) {
        Some(Proof::Thumbprints(thumbprints)) => {
            if !thumbprints.iter().flatten().any(|thumbprint| thumbprint.matches(leaf)) {
                return Err(WRONG);
            }
            let validity = leaf_validity(leaf).map_err(bad_certificate)?;
            validity.check(now_unix_seconds).map_err(bad_certificate)?;
            validity
        }
        Some(Proof::Authority) => {
            let verified = directory.authorities().verify(credentials.certificates, now_unix_seconds);
            let verified = verified.map_err(bad_certificate)?;
            if !verified.names().any(|name| is_made_out_to(name, credentials)) {
                return Err(refused(RefusedKind::Unauthorized, "the certificate is made out to another name"));
            }
            verified.validity
        }
        _ => return Err(WRONG),
    };
    let [of_device, of_module] = X509_METHODS;
    Ok((if credentials.module_id.is_some() { of_module } else { of_device }, validity.not_after))
}

fn is_made_out_to(name: &str, credentials: &Credentials<'_>) -> bool {
    match credentials.module_id {
        None => name == credentials.device_id,
        Some(module_id) => name.split_once('/') == Some((credentials.device_id, module_id)),
    }
}

fn bad_certificate(error: X509Error) -> Refused {
    match error {
        X509Error::Malformed => refused(RefusedKind::Malformed, "the certificate cannot be read"),
        X509Error::Expired => refused(RefusedKind::Unauthorized, "the certificate expired"),
        X509Error::NotYetValid => refused(RefusedKind::Unauthorized, "the certificate is not valid yet"),
        X509Error::Revoked => refused(RefusedKind::Unknown, "the certificate was revoked"),
        X509Error::UnknownIssuer => refused(RefusedKind::Unknown, "no registered authority issued the certificate"),
        _ => refused(RefusedKind::Unknown, "the certificate's chain is not good"),
    }
}
