//! Decides whether a CONNECT is let in, and as whom. Pure: registry and time are arguments.
//! - Source: Azure IoT Hub's MQTT user name `{host}/{device}[/{module}]/?api-version=…` and SAS token as password.
//! - Invariants: an unknown device and a wrong key are refused alike. Whatever may pass later is "server unavailable", because
//!   SDKs give up for ever after "not authorized".
//! - Errors: [`Refused`]: the code for the peer, and words for the log that never hold a token.

use millrace_model::identity::SAS_METHODS;
use millrace_model::{Identity, IdentityRef};
use millrace_protocols_identity::sas::Token;
use millrace_protocols_identity::user_name::UserName;
use millrace_protocols_identity::{Key, TokenError, topic};
use millrace_protocols_mqtt::{Connect, Refusal};

use crate::directory::{Directory, Found};
use crate::limits::TOKEN_SKEW_SECONDS;

/// A connection that was let in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) device_id: Box<str>,
    pub(crate) module_id: Option<Box<str>>,
    pub(crate) identity: Identity,
    /// Seconds since 1970 after which the session ends.
    pub(crate) expires_at: u64,
    /// Whether the client left its id to the server.
    pub(crate) assigned_client_id: bool,
}

/// A connection that was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) why: &'static str,
}

const fn refused(refusal: Refusal, why: &'static str) -> Refused {
    Refused { refusal, why }
}

/// See the module's documentation.
pub(crate) fn admit(
    connect: &Connect<'_>,
    directory: &dyn Directory,
    host_names: &[String],
    unix_seconds: u64,
) -> Result<Admitted, Refused> {
    const NOT_AUTHORIZED: Refusal = Refusal::NotAuthorized;
    if connect.authentication_method.is_some() {
        return Err(refused(Refusal::BadAuthenticationMethod, "enhanced authentication is not spoken here"));
    }
    let user_name = connect.user_name.ok_or(refused(Refusal::BadUserNameOrPassword, "no user name"))?;
    let user_name = UserName::parse(user_name)
        .map_err(|_| refused(Refusal::BadUserNameOrPassword, "the user name is not {host}/{device}/?api-version=…"))?;
    check_client_id(connect.client_id, &user_name)?;
    check_will(connect, &user_name)?;
    let password = connect.password.and_then(|password| std::str::from_utf8(password).ok());
    let password = password.ok_or(refused(Refusal::BadUserNameOrPassword, "no password"))?;
    let token = Token::parse(password)
        .map_err(|_| refused(Refusal::BadUserNameOrPassword, "the password is not a shared access signature"))?;
    if !is_own_host(user_name.host, host_names) {
        return Err(refused(NOT_AUTHORIZED, "the host name is not one of this hub's"));
    }
    let found = directory.find(user_name.device_id, user_name.module_id);
    let auth_method = check_token(&token, &user_name, found.as_ref(), directory, unix_seconds)?;
    let found = found.ok_or(refused(NOT_AUTHORIZED, "unknown device or wrong key"))?;
    if !found.enabled {
        return Err(refused(NOT_AUTHORIZED, "the device is disabled"));
    }
    Ok(Admitted {
        device_id: user_name.device_id.into(),
        module_id: user_name.module_id.map(Into::into),
        identity: stamp(&user_name, &found, auth_method)?,
        expires_at: token.expires_at().saturating_add(TOKEN_SKEW_SECONDS),
        assigned_client_id: connect.client_id.is_empty(),
    })
}

fn check_client_id(client_id: &str, user_name: &UserName<'_>) -> Result<(), Refused> {
    let is_own = match user_name.module_id {
        None => client_id == user_name.device_id,
        Some(module) => client_id.split_once('/') == Some((user_name.device_id, module)),
    };
    if is_own || client_id.is_empty() {
        return Ok(());
    }
    Err(refused(Refusal::IdentifierRejected, "the client id does not match the user name"))
}

fn check_will(connect: &Connect<'_>, user_name: &UserName<'_>) -> Result<(), Refused> {
    match connect.will_topic {
        Some(will) if topic::telemetry_bag(will, user_name.device_id, user_name.module_id).is_none() => {
            Err(refused(Refusal::NotAuthorized, "the will's topic is not this identity's telemetry topic"))
        }
        _ => Ok(()),
    }
}

fn is_own_host(host: &str, host_names: &[String]) -> bool {
    let name = host.split(':').next().unwrap_or(host);
    host_names.is_empty()
        || host_names.iter().any(|own| own.eq_ignore_ascii_case(name) || own.eq_ignore_ascii_case(host))
}

/// Who vouches for the connection, as `iothub-connection-auth-method` says it: the identity's own key, or a policy of the hub.
fn check_token(
    token: &Token<'_>,
    user_name: &UserName<'_>,
    found: Option<&Found>,
    directory: &dyn Directory,
    unix_seconds: u64,
) -> Result<&'static str, Refused> {
    const WRONG: Refused = refused(Refusal::NotAuthorized, "unknown device or wrong key");
    let [of_policy, of_device, of_module] = SAS_METHODS;
    let (keys, auth_method) = match token.policy() {
        Some(name) => {
            let policy = directory.policy(name).filter(|policy| policy.device_connect).ok_or(WRONG)?;
            (Some(policy.keys), of_policy)
        }
        None => (
            found.and_then(|found| found.keys.clone()),
            if user_name.module_id.is_some() { of_module } else { of_device },
        ),
    };
    // An unknown identity costs the same work as a wrong key, so that the time tells nothing.
    let decoy = Key::decoy();
    let [primary, secondary] = keys.as_deref().map_or([&decoy; 2], |[primary, secondary]| [primary, secondary]);
    let verified = token.verify(&[primary, secondary], unix_seconds, TOKEN_SKEW_SECONDS);
    if keys.is_none() {
        return Err(WRONG);
    }
    verified.map_err(|error| match error {
        TokenError::Expired => refused(Refusal::NotAuthorized, "the token expired"),
        _ => WRONG,
    })?;
    if !token.covers(user_name.host, user_name.device_id, user_name.module_id) {
        return Err(refused(Refusal::NotAuthorized, "the token is made out for something else"));
    }
    Ok(auth_method)
}

fn stamp(user_name: &UserName<'_>, found: &Found, auth_method: &str) -> Result<Identity, Refused> {
    Identity::new(&IdentityRef {
        device_id: user_name.device_id,
        module_id: user_name.module_id,
        generation_id: &found.generation_id,
        auth_method,
        model_id: user_name.model_id.as_deref(),
    })
    .ok_or(refused(Refusal::BadUserNameOrPassword, "a line feed in the user name"))
}
