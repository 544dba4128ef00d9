//! The MQTT user name: which hub, which device or module, and what the client says about itself.
//! - Source: Azure IoT Hub MQTT support, and the forms SDKs of several ages were seen to send.
//! - Shape: `{host}/{device}[/{module}][/[?]api-version={v}[&DeviceClientType={enc}][&model-id={enc}][&auth-chain={ids}]]`
//! - Invariants: ids are not percent-decoded: `%` is a letter of theirs. Unknown query names and any api-version are accepted.
//! - Limits: ids as in [`millrace_model::ids::is_valid_id`]; a `?` may stand in an id, but not begin a last segment. A model id has
//!   at most [`MODEL_ID_BYTES_MAX`] bytes, because it goes along with every message.
//! - Errors: [`UserNameError`]. Never panics.

use std::borrow::Cow;

use millrace_model::ids::is_valid_id;
use percent_encoding::percent_decode_str;

use crate::error::UserNameError;

/// Longest model id, decoded; DTDL gives an interface's id far less.
pub const MODEL_ID_BYTES_MAX: usize = 2048;

/// A parsed user name of a hub client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName<'a> {
    /// Host name as the client knows it, with its port if it has one.
    pub host: &'a str,
    /// Device id.
    pub device_id: &'a str,
    /// Module id, when a module connects.
    pub module_id: Option<&'a str>,
    /// `api-version` as sent.
    pub api_version: Option<&'a str>,
    /// `DeviceClientType`: the SDK and its version, decoded.
    pub client_type: Option<Cow<'a, str>>,
    /// `model-id`: the DTDL model of the device, decoded.
    pub model_id: Option<Cow<'a, str>>,
    /// `auth-chain`: the gateways in between, as sent.
    pub auth_chain: Option<&'a str>,
}

/// A parsed user name of a provisioning client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration<'a> {
    /// Id scope of the provisioning service.
    pub id_scope: &'a str,
    /// Registration id.
    pub registration_id: &'a str,
}

impl<'a> UserName<'a> {
    /// Reads a user name.
    ///
    /// # Errors
    /// When it has another shape or an id that cannot be one; [`UserNameError::Provisioning`] for a provisioning client.
    pub fn parse(text: &'a str) -> Result<Self, UserNameError> {
        if Registration::parse(text).is_some() {
            return Err(UserNameError::Provisioning);
        }
        let (path, query) = split_query(text);
        let mut segments = path.split('/');
        let host = segments.next().filter(|host| !host.is_empty()).ok_or(UserNameError::Shape)?;
        let device_id = segments.next().ok_or(UserNameError::Shape)?;
        let module_id = segments.next();
        if segments.next().is_some() {
            return Err(UserNameError::Shape);
        }
        if !is_valid_id(device_id) {
            return Err(UserNameError::DeviceId);
        }
        if module_id.is_some_and(|id| !is_valid_id(id)) {
            return Err(UserNameError::ModuleId);
        }
        let model_id = decoded_value_of(query, "model-id")?.filter(|id| !id.is_empty());
        if model_id.as_ref().is_some_and(|id| id.len() > MODEL_ID_BYTES_MAX) {
            return Err(UserNameError::Field { field: "model-id" });
        }
        Ok(Self {
            host,
            device_id,
            module_id,
            api_version: value_of(query, "api-version"),
            client_type: decoded_value_of(query, "DeviceClientType")?,
            model_id,
            auth_chain: value_of(query, "auth-chain"),
        })
    }

    /// Whether `client_id` is the one that belongs to this user name: `{device}` or `{device}/{module}`.
    #[must_use]
    pub fn matches_client_id(&self, client_id: &str) -> bool {
        match (client_id.strip_prefix(self.device_id), self.module_id) {
            (Some(rest), None) => rest.is_empty(),
            (Some(rest), Some(module_id)) => rest.strip_prefix('/') == Some(module_id),
            (None, _) => false,
        }
    }
}

impl<'a> Registration<'a> {
    /// Reads the user name of a provisioning client; `None` when it is a hub client's.
    ///
    /// A device that is itself called `registrations` stays a hub client as long as it has no module or says `DeviceClientType`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (path, query) = split_query(text);
        let mut segments = path.split('/');
        let id_scope = segments.next().filter(|scope| !scope.is_empty())?;
        if segments.next() != Some("registrations") {
            return None;
        }
        let registration_id = segments.next().filter(|id| !id.is_empty())?;
        let provisioning = value_of(query, "ClientVersion").is_some() || value_of(query, "DeviceClientType").is_none();
        (segments.next().is_none() && provisioning).then_some(Self { id_scope, registration_id })
    }
}

/// Separates ids from query. The query begins at the first segment behind the device id that looks like one.
fn split_query(text: &str) -> (&str, &str) {
    for (position, _) in text.match_indices('/').skip(1) {
        let (path, rest) = text.split_at(position);
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let segment = rest.split('/').next().unwrap_or_default();
        let last = segment.len() == rest.len();
        let versioned = segment.contains("api-version=");
        let begins = segment.starts_with('?') || segment.starts_with("api-version=");
        // Not every client encodes the slashes in its DeviceClientType, so a query need not be the last segment.
        if (begins && (versioned || last)) || (versioned && last) {
            return (path, rest.strip_prefix('?').unwrap_or(rest));
        }
    }
    (text.strip_suffix('/').unwrap_or(text), "")
}

fn value_of<'a>(query: &'a str, wanted: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == wanted)).map(|(_, value)| value)
}

fn decoded_value_of<'a>(query: &'a str, field: &'static str) -> Result<Option<Cow<'a, str>>, UserNameError> {
    value_of(query, field)
        .map(|value| percent_decode_str(value).decode_utf8().map_err(|_| UserNameError::Field { field }))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(text: &str) -> (&str, Option<&str>) {
        let name = UserName::parse(text).unwrap();
        (name.device_id, name.module_id)
    }

    #[test]
    fn reads_every_form_that_clients_send() {
        assert_eq!(ids("h/d1/?api-version=2021-04-12&DeviceClientType=x"), ("d1", None));
        assert_eq!(ids("h/d1/m1/?api-version=2021-04-12&DeviceClientType=x&auth-chain=d1;edge1"), ("d1", Some("m1")));
        assert_eq!(ids("h/d1/api-version=2016-11-14&DeviceClientType=x"), ("d1", None));
        assert_eq!(ids("h/a?b/?api-version=2021-04-12"), ("a?b", None));
        assert_eq!(ids("h:18883/d1/?api-version=2021-04-12"), ("d1", None));
        assert_eq!(ids("h/d1"), ("d1", None));
        assert_eq!(ids("h/d1/"), ("d1", None));
        assert_eq!(ids("h/d1/m1"), ("d1", Some("m1")));
        assert_eq!(ids("h/d1/?"), ("d1", None));
    }

    #[test]
    fn reads_what_the_client_says_about_itself() {
        let name = UserName::parse(
            "hub.example/d%41/?api-version=2020-09-30&DeviceClientType=py%2F2.14.0%283%29&x=y&model-id=dtmi%3Acom%3Aa%3B1",
        )
        .unwrap();
        assert_eq!(name.host, "hub.example");
        assert_eq!(name.device_id, "d%41", "ids are not decoded");
        assert_eq!(name.api_version, Some("2020-09-30"));
        assert_eq!(name.client_type.as_deref(), Some("py/2.14.0(3)"));
        assert_eq!(name.model_id.as_deref(), Some("dtmi:com:a;1"));
        let raw = UserName::parse("h/d/?api-version=1&model-id=dtmi:com:a;1&DeviceClientType=a/b").unwrap();
        assert_eq!(raw.model_id.as_deref(), Some("dtmi:com:a;1"));
        assert_eq!(raw.client_type.as_deref(), Some("a/b"), "a slash that was not encoded");
    }

    #[test]
    fn model_ids_have_a_bound() {
        let text = |bytes| format!("h/d/?api-version=1&model-id={}", "a".repeat(bytes));
        let longest = text(MODEL_ID_BYTES_MAX);
        let model_id = UserName::parse(&longest).unwrap().model_id;
        assert_eq!(model_id.map(|id| id.len()), Some(MODEL_ID_BYTES_MAX));
        let error = UserNameError::Field { field: "model-id" };
        assert_eq!(UserName::parse(&text(MODEL_ID_BYTES_MAX + 1)), Err(error));
    }

    #[test]
    fn provisioning_clients_are_told_apart() {
        let text = "0neSCOPE/registrations/reg1/api-version=2019-03-31&ClientVersion=x";
        assert_eq!(UserName::parse(text), Err(UserNameError::Provisioning));
        assert_eq!(Registration::parse(text).unwrap().registration_id, "reg1");
        assert_eq!(ids("h/registrations/?api-version=1&DeviceClientType=x"), ("registrations", None));
        assert_eq!(ids("h/registrations/m1/?api-version=1&DeviceClientType=x"), ("registrations", Some("m1")));
    }

    #[test]
    fn refuses_what_names_nobody() {
        for (text, error) in [
            ("", UserNameError::Shape),
            ("h", UserNameError::Shape),
            ("/d1", UserNameError::Shape),
            ("h/", UserNameError::Shape),
            ("h//?api-version=1", UserNameError::DeviceId),
            ("h/a b", UserNameError::DeviceId),
            ("h/d//?api-version=1", UserNameError::ModuleId),
            ("h/d/m/x/?api-version=1", UserNameError::Shape),
            ("h/../../etc", UserNameError::Shape),
            ("h/d/?api-version=1&model-id=%ff", UserNameError::Field { field: "model-id" }),
        ] {
            assert_eq!(UserName::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn client_id_must_name_the_same_identity() {
        let device = UserName::parse("h/d1").unwrap();
        let module = UserName::parse("h/d1/m1").unwrap();
        assert!(device.matches_client_id("d1") && module.matches_client_id("d1/m1"));
        for wrong in ["", "d", "d12", "D1", "d1/m1/"] {
            assert!(!device.matches_client_id(wrong) && !module.matches_client_id(wrong), "{wrong}");
        }
        assert!(!device.matches_client_id("d1/m1") && !module.matches_client_id("d1"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}") {
            let parsed = UserName::parse(&text);
            prop_assert!(parsed.is_err() || text.contains('/'));
        }

        #[test]
        fn every_legal_id_is_read_back(device in "[A-Za-z0-9\\-.+%_#*?!(),:=@$';]{1,128}") {
            let text = format!("h/{device}/?api-version=2021-04-12&DeviceClientType=x");
            prop_assert_eq!(ids(&text), (device.as_str(), None));
        }
    }
}
