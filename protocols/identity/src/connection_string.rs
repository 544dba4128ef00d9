//! Connection strings: what a device or a service program is configured with.
//! - Shape: `Name=Value` joined with semicolons; the first `=` separates, because base64 keys end in one.
//! - Invariants: names are case-sensitive, as in the SDKs. An error never repeats a value, nor a name it does not know.
//! - Errors: [`ConnectionStringError`]. Never panics.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::ConnectionStringError;
use crate::key::Key;

const HOST_NAME: &str = "HostName";
const DEVICE_ID: &str = "DeviceId";
const MODULE_ID: &str = "ModuleId";
const KEY: &str = "SharedAccessKey";
const KEY_NAME: &str = "SharedAccessKeyName";
const SIGNATURE: &str = "SharedAccessSignature";
const GATEWAY: &str = "GatewayHostName";
const X509: &str = "x509";
const NAMES: [&str; 8] = [HOST_NAME, DEVICE_ID, MODULE_ID, KEY, KEY_NAME, SIGNATURE, GATEWAY, X509];

/// A parsed connection string. Turn it into text with [`ConnectionString::expose`] only.
#[derive(Clone)]
pub struct ConnectionString {
    /// `HostName`: the hub.
    pub host_name: String,
    /// `DeviceId`; absent in a service string.
    pub device_id: Option<String>,
    /// `ModuleId`.
    pub module_id: Option<String>,
    /// `SharedAccessKeyName`: a policy of the hub.
    pub policy: Option<String>,
    /// `GatewayHostName`: the host to dial instead.
    pub gateway_host_name: Option<String>,
    /// How to authenticate.
    pub credential: Credential,
}

/// How the holder of a connection string authenticates.
#[derive(Debug, Clone)]
pub enum Credential {
    /// `SharedAccessKey`.
    Key(Key),
    /// `SharedAccessSignature`: a token made elsewhere.
    Token(Token),
    /// `x509=true`: a client certificate.
    Certificate,
}

/// The text of a ready-made token.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// The secret text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl ConnectionString {
    /// The string of a device or module that signs with `key`.
    #[must_use]
    pub fn for_device(host_name: &str, device_id: &str, module_id: Option<&str>, key: Key) -> Self {
        Self {
            host_name: host_name.to_owned(),
            device_id: Some(device_id.to_owned()),
            module_id: module_id.map(str::to_owned),
            policy: None,
            gateway_host_name: None,
            credential: Credential::Key(key),
        }
    }

    /// The string of a service program that signs with the key of `policy`.
    #[must_use]
    pub fn for_policy(host_name: &str, policy: &str, key: Key) -> Self {
        Self {
            host_name: host_name.to_owned(),
            device_id: None,
            module_id: None,
            policy: Some(policy.to_owned()),
            gateway_host_name: None,
            credential: Credential::Key(key),
        }
    }

    /// Reads a connection string.
    ///
    /// # Errors
    /// When a part is unknown, doubled or empty, or the parts do not name one credential.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        let mut parts = Parts::read(text)?;
        let host_name = parts.take(HOST_NAME).ok_or(ConnectionStringError::Missing { name: HOST_NAME })?;
        let device_id = parts.take(DEVICE_ID).map(str::to_owned);
        let module_id = parts.take(MODULE_ID).map(str::to_owned);
        let policy = parts.take(KEY_NAME).map(str::to_owned);
        if device_id.is_none() && (module_id.is_some() || policy.is_none()) {
            return Err(ConnectionStringError::Missing { name: DEVICE_ID });
        }
        Ok(Self {
            host_name: host_name.to_owned(),
            device_id,
            module_id,
            policy,
            gateway_host_name: parts.take(GATEWAY).map(str::to_owned),
            credential: credential(&mut parts)?,
        })
    }

    /// The text form, with its secret.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(512));
        let mut push = |name: &str, value: &str| {
            if !text.is_empty() {
                text.push(';');
            }
            for piece in [name, "=", value] {
                text.push_str(piece);
            }
        };
        push(HOST_NAME, &self.host_name);
        for (name, value) in [
            (DEVICE_ID, &self.device_id),
            (MODULE_ID, &self.module_id),
            (GATEWAY, &self.gateway_host_name),
            (KEY_NAME, &self.policy),
        ] {
            if let Some(value) = value {
                push(name, value);
            }
        }
        match &self.credential {
            Credential::Key(key) => push(KEY, &key.to_base64()),
            Credential::Token(token) => push(SIGNATURE, token.expose()),
            Credential::Certificate => push(X509, "true"),
        }
        text
    }

    /// The symmetric key, when that is the credential.
    #[must_use]
    pub const fn key(&self) -> Option<&Key> {
        match &self.credential {
            Credential::Key(key) => Some(key),
            _ => None,
        }
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString")
            .field("host_name", &self.host_name)
            .field("device_id", &self.device_id)
            .field("module_id", &self.module_id)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Values in the order of [`NAMES`].
struct Parts<'a>([(&'static str, Option<&'a str>); NAMES.len()]);

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Result<Self, ConnectionStringError> {
        let mut parts = Self(NAMES.map(|name| (name, None)));
        for (part, pair) in (1_usize..).zip(text.trim().split(';')).filter(|(_, pair)| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(ConnectionStringError::Unknown { part })?;
            let Some((name, slot)) = parts.0.iter_mut().find(|(known, _)| *known == name) else {
                return Err(match NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name)) {
                    Some(name) => ConnectionStringError::Case { part, name },
                    None => ConnectionStringError::Unknown { part },
                });
            };
            if value.is_empty() {
                return Err(ConnectionStringError::Invalid { name });
            }
            if slot.replace(value).is_some() {
                return Err(ConnectionStringError::Duplicate { name });
            }
        }
        Ok(parts)
    }

    fn take(&mut self, wanted: &str) -> Option<&'a str> {
        self.0.iter_mut().find(|(name, _)| *name == wanted).and_then(|(_, value)| value.take())
    }
}

fn credential(parts: &mut Parts<'_>) -> Result<Credential, ConnectionStringError> {
    let certificate = match parts.take(X509) {
        Some(value) if value.eq_ignore_ascii_case("true") => true,
        Some(value) if value.eq_ignore_ascii_case("false") => false,
        Some(_) => return Err(ConnectionStringError::Invalid { name: X509 }),
        None => false,
    };
    match (parts.take(KEY), parts.take(SIGNATURE), certificate) {
        (Some(key), None, false) => Key::from_base64(key).map(Credential::Key).map_err(ConnectionStringError::Key),
        (None, Some(token), false) => Ok(Credential::Token(Token(Zeroizing::new(token.to_owned())))),
        (None, None, true) => Ok(Credential::Certificate),
        _ => Err(ConnectionStringError::Credential),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KeyError;
    use proptest::prelude::*;

    const SECRET: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

    #[test]
    fn reads_and_writes_the_strings_of_devices_modules_and_services() {
        for text in [
            format!("HostName=h.example;DeviceId=d1;SharedAccessKey={SECRET}"),
            format!("HostName=h.example;DeviceId=d1;ModuleId=m1;GatewayHostName=edge;SharedAccessKey={SECRET}"),
            format!("HostName=h.example;SharedAccessKeyName=iothubowner;SharedAccessKey={SECRET}"),
            "HostName=h.example;DeviceId=d1;x509=true".to_owned(),
            "HostName=h;DeviceId=a=b;SharedAccessSignature=SharedAccessSignature sr=h&sig=s%3D&se=1".to_owned(),
        ] {
            assert_eq!(ConnectionString::parse(&text).unwrap().expose().as_str(), text);
        }
    }

    #[test]
    fn names_what_is_wrong() {
        use ConnectionStringError as E;
        for (text, error) in [
            ("", E::Missing { name: "HostName" }),
            ("HostName=h", E::Missing { name: "DeviceId" }),
            ("HostName=h;ModuleId=m;x509=true", E::Missing { name: "DeviceId" }),
            ("HostName=h;DeviceId=d", E::Credential),
            ("HostName=h;DeviceId=d;x509=maybe", E::Invalid { name: "x509" }),
            ("HostName=h;HostName=h", E::Duplicate { name: "HostName" }),
            ("HostName=h;deviceid=d", E::Case { part: 2, name: "DeviceId" }),
            ("HostName=;DeviceId=d", E::Invalid { name: "HostName" }),
            ("HostName=h;DeviceId=d;SharedAccessKey=short", E::Key(KeyError::NotBase64)),
            ("HostName=h;DeviceId=d;SharedAccessKey=a2tr", E::Key(KeyError::Length { bytes: 3 })),
        ] {
            assert_eq!(ConnectionString::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn a_key_without_its_name_is_not_repeated() {
        let error = ConnectionString::parse(&format!("HostName=h;DeviceId=d;{SECRET}")).unwrap_err();
        assert_eq!(error, ConnectionStringError::Unknown { part: 3 });
        assert!(!format!("{error} {error:?}").contains("a2tr"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let with_key = ConnectionString::parse(&format!("HostName=h;DeviceId=d;SharedAccessKey={SECRET}")).unwrap();
        let with_token = ConnectionString::parse("HostName=h;DeviceId=d;SharedAccessSignature=a2tra2tr").unwrap();
        let text = format!("{with_key:?} {:?} {with_token:?} {:?}", with_key.credential, with_token.credential);
        assert!(!text.contains("a2tr") && !text.contains("kkk"), "{text}");
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,120}") {
            if let Ok(parsed) = ConnectionString::parse(&text) {
                prop_assert!(!parsed.host_name.is_empty());
            }
        }
    }
}
