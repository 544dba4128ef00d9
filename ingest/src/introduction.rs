//! What a CONNECT says, taken out of its packet so that it can wait: who, with which credential, for how long.
//! - Source: Azure IoT Hub's MQTT user name `{host}/{device}[/{module}]/?api-version=…`, the provisioning service's
//!   `{scope}/registrations/{id}/api-version=…`; a SAS token as password, or none beside a client certificate.
//! - Invariants: what can be judged without a registry is judged here: client id, will, extended authentication.
//! - Errors: [`Rejected`]: the code for the peer, and words for the log that never hold a token.

use std::sync::Arc;

use millrace_model::IdentityName;
use millrace_model::door::Registrant;
use millrace_protocols_identity::topic;
use millrace_protocols_identity::user_name::{Registration, UserName};
use millrace_protocols_mqtt::{Connect, Refusal, Version};
use zeroize::Zeroizing;

use crate::admission::{Admitted, Credentials, Refused, RefusedKind, admit};
use crate::directory::Directory;

/// Who wants to connect.
#[derive(Debug)]
pub(crate) enum Caller {
    /// A device or module, to the hub.
    Device(Introduction),
    /// A device that does not know its hub yet, to the provisioning service.
    Registrant(Registrant, Greeting),
}

/// A device or module that wants to connect.
pub(crate) struct Introduction {
    pub(crate) name: Arc<IdentityName>,
    pub(crate) model_id: Option<Box<str>>,
    pub(crate) greeting: Greeting,
    host: Box<str>,
    token: Option<Zeroizing<String>>,
    certificates: Arc<[Vec<u8>]>,
}

/// What CONNACK depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Greeting {
    pub(crate) keep_alive_seconds: u16,
    /// Forget earlier subscriptions.
    pub(crate) is_clean: bool,
    /// Whether the client left its id to the server.
    pub(crate) assigned_client_id: bool,
}

/// A CONNECT that is answered with no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) refusal: Refusal,
    pub(crate) why: &'static str,
}

const fn rejected(refusal: Refusal, why: &'static str) -> Rejected {
    Rejected { refusal, why }
}

impl From<Refused> for Rejected {
    fn from(refused: Refused) -> Self {
        match refused.kind {
            RefusedKind::Malformed => rejected(Refusal::BadUserNameOrPassword, refused.why),
            RefusedKind::Unauthorized | RefusedKind::Unknown => rejected(Refusal::NotAuthorized, refused.why),
        }
    }
}

impl std::fmt::Debug for Introduction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introduction").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads a CONNECT.
pub(crate) fn introduce(connect: &Connect<'_>, certificates: Arc<[Vec<u8>]>) -> Result<Caller, Rejected> {
    const USER_NAME: Rejected =
        rejected(Refusal::BadUserNameOrPassword, "the user name is not {host}/{device}/?api-version=…");
    if connect.authentication_method.is_some() {
        return Err(rejected(Refusal::BadAuthenticationMethod, "enhanced authentication is not spoken here"));
    }
    let text = connect.user_name.ok_or(rejected(Refusal::BadUserNameOrPassword, "no user name"))?;
    let password = connect.password.map(std::str::from_utf8).transpose();
    let password = password.map_err(|_| rejected(Refusal::BadUserNameOrPassword, "the password is not text"))?;
    let greeting = Greeting {
        keep_alive_seconds: connect.keep_alive_seconds,
        is_clean: connect.clean_start || (connect.version == Version::V5 && !keeps_state(connect)),
        assigned_client_id: connect.client_id.is_empty(),
    };
    if let Some(registration) = Registration::parse(text) {
        return registrant(connect, registration, password, certificates)
            .map(|registrant| Caller::Registrant(registrant, greeting));
    }
    let user_name = UserName::parse(text).map_err(|_| USER_NAME)?;
    if !greeting.assigned_client_id && !user_name.matches_client_id(connect.client_id) {
        return Err(rejected(Refusal::IdentifierRejected, "the client id does not match the user name"));
    }
    let (device_id, module_id) = (user_name.device_id, user_name.module_id);
    if connect.will_topic.is_some_and(|will| topic::telemetry_bag(will, device_id, module_id).is_none()) {
        return Err(rejected(Refusal::NotAuthorized, "the will's topic is not this identity's telemetry topic"));
    }
    Ok(Caller::Device(Introduction {
        name: Arc::new(IdentityName::new(device_id, module_id).map_err(|_| USER_NAME)?),
        host: user_name.host.into(),
        model_id: user_name.model_id.as_deref().map(Into::into),
        // Some clients send an empty password beside their certificate.
        token: password.filter(|password| !password.is_empty()).map(|password| Zeroizing::new(password.to_owned())),
        certificates,
        greeting,
    }))
}

/// A v5 client that wants nothing kept ends its session with its connection; one of 3.1.1 says so with clean session only.
fn keeps_state(connect: &Connect<'_>) -> bool {
    connect.session_expiry_seconds.is_some_and(|seconds| seconds > 0)
}

fn registrant(
    connect: &Connect<'_>,
    registration: Registration<'_>,
    password: Option<&str>,
    certificates: Arc<[Vec<u8>]>,
) -> Result<Registrant, Rejected> {
    if !connect.client_id.is_empty() && connect.client_id != registration.registration_id {
        return Err(rejected(Refusal::IdentifierRejected, "the client id is not the registration id"));
    }
    if connect.has_will {
        return Err(rejected(Refusal::NotAuthorized, "a registration leaves no will"));
    }
    Ok(Registrant {
        id_scope: registration.id_scope.into(),
        registration_id: registration.registration_id.into(),
        token: password.filter(|password| !password.is_empty()).map(Into::into),
        certificates,
    })
}

impl Introduction {
    /// Holds it against the registry.
    pub(crate) fn judge(
        &self,
        directory: &dyn Directory,
        host_names: &[String],
        now_unix_seconds: u64,
    ) -> Result<Admitted, Refused> {
        let credentials = Credentials {
            device_id: self.name.device_id(),
            module_id: self.name.module_id(),
            host: Some(&self.host),
            token: self.token.as_ref().map(|token| token.as_str()),
            certificates: &self.certificates,
            model_id: self.model_id.as_deref(),
        };
        admit(&credentials, directory, host_names, now_unix_seconds)
    }
}
