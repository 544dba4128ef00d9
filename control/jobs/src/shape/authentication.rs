//! JSON of how an identity proves itself.
//! - Shape: `{"type": "sas" | "selfSigned" | "certificateAuthority" | "none", "symmetricKey": {..}, "x509Thumbprint": {..}}`
//! - Invariants: without a type, thumbprints mean `selfSigned` and anything else `sas`. Keys that are left out or empty are made when an
//!   identity is created, and stay when it is changed.

use millrace_control_store::error::RegistryError;
use millrace_control_store::random;
use millrace_control_store::registry::Authentication;
use millrace_model::HubError;
use millrace_protocols_identity::{Key, Thumbprint};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How an identity proves itself.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthenticationBody {
    /// `sas`, `selfSigned`, `certificateAuthority` or `none`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Keys of `sas`.
    pub symmetric_key: Option<SymmetricKeyBody>,
    /// Thumbprints of `selfSigned`.
    #[serde(rename = "x509Thumbprint")]
    pub x509_thumbprint: Option<ThumbprintBody>,
}

/// Two keys.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SymmetricKeyBody {
    /// The one that connection strings carry.
    pub primary_key: Option<KeyText>,
    /// The one that stays valid while the first one is replaced.
    pub secondary_key: Option<KeyText>,
}

/// Two thumbprints.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ThumbprintBody {
    /// The one in use.
    pub primary_thumbprint: Option<String>,
    /// The one that stays valid while the first one is replaced.
    pub secondary_thumbprint: Option<String>,
}

/// Base64 text of a key.
pub struct KeyText(pub Zeroizing<String>);

impl std::fmt::Debug for KeyText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyText(..)")
    }
}

impl Serialize for KeyText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl From<&Authentication> for AuthenticationBody {
    fn from(authentication: &Authentication) -> Self {
        let text = |key: &Key| Some(KeyText(key.to_base64()));
        let hex = |thumbprint: &Option<Thumbprint>| thumbprint.map(|thumbprint| thumbprint.to_string());
        let mut keys = SymmetricKeyBody::default();
        let mut thumbprints = ThumbprintBody::default();
        let kind = match authentication {
            Authentication::None => "none",
            Authentication::Sas { primary, secondary } => {
                keys = SymmetricKeyBody { primary_key: text(primary), secondary_key: text(secondary) };
                "sas"
            }
            Authentication::SelfSigned { primary, secondary } => {
                thumbprints = ThumbprintBody { primary_thumbprint: hex(primary), secondary_thumbprint: hex(secondary) };
                "selfSigned"
            }
            Authentication::CertificateAuthority => "certificateAuthority",
        };
        Self { kind: Some(kind.to_owned()), symmetric_key: Some(keys), x509_thumbprint: Some(thumbprints) }
    }
}

impl AuthenticationBody {
    /// What is asked for; `None` when keys are wanted and none are given.
    ///
    /// # Errors
    /// When a type, key or thumbprint cannot be one, or thumbprints are wanted and none is given.
    pub fn read(&self) -> Result<Option<Authentication>, HubError> {
        let [primary, secondary] = self.thumbprints()?;
        let has_thumbprint = primary.is_some() || secondary.is_some();
        match self.kind.as_deref() {
            None | Some("") if has_thumbprint => Ok(Some(Authentication::SelfSigned { primary, secondary })),
            None | Some("" | "sas") => self.keys(),
            Some("selfSigned") if has_thumbprint => Ok(Some(Authentication::SelfSigned { primary, secondary })),
            Some("selfSigned") => Err(HubError::ARGUMENT.because("selfSigned needs a thumbprint")),
            Some("certificateAuthority") => Ok(Some(Authentication::CertificateAuthority)),
            Some("none") => Ok(Some(Authentication::None)),
            Some(_) => {
                let known = "authentication.type is one of sas, selfSigned, certificateAuthority and none";
                Err(HubError::ARGUMENT.because(known))
            }
        }
    }

    /// Takes the keys out.
    pub fn forget_keys(&mut self) {
        self.symmetric_key = Some(SymmetricKeyBody::default());
    }

    fn keys(&self) -> Result<Option<Authentication>, HubError> {
        let keys = self.symmetric_key.as_ref();
        let key = |text: Option<&KeyText>| -> Result<Option<Key>, HubError> {
            let text = text.filter(|text| !text.0.is_empty());
            let key = text.map(|text| Key::from_base64(&text.0)).transpose();
            key.map_err(|error| HubError::ARGUMENT.because(error.to_string()))
        };
        let primary = key(keys.and_then(|keys| keys.primary_key.as_ref()))?;
        let secondary = key(keys.and_then(|keys| keys.secondary_key.as_ref()))?;
        if primary.is_none() && secondary.is_none() {
            return Ok(None);
        }
        let or_new = |key: Option<Key>| key.map_or_else(|| random::key().map_err(failed), Ok);
        Ok(Some(Authentication::Sas { primary: or_new(primary)?, secondary: or_new(secondary)? }))
    }

    fn thumbprints(&self) -> Result<[Option<Thumbprint>; 2], HubError> {
        let Some(body) = &self.x509_thumbprint else { return Ok([None, None]) };
        let read = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            let thumbprint = text.map(str::parse::<Thumbprint>).transpose();
            thumbprint.map_err(|error| HubError::ARGUMENT.because(error.to_string()))
        };
        Ok([read(&body.primary_thumbprint)?, read(&body.secondary_thumbprint)?])
    }
}

/// Keys that nobody knows yet.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_keys() -> Result<Authentication, HubError> {
    Ok(Authentication::Sas { primary: random::key().map_err(failed)?, secondary: random::key().map_err(failed)? })
}

pub(super) fn failed(error: RegistryError) -> HubError {
    millrace_control::hub_error(&error)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: serde_json::Value) -> Result<Option<Authentication>, HubError> {
        serde_json::from_value::<AuthenticationBody>(body).unwrap().read()
    }

    #[test]
    fn types_are_told_apart() {
        let sha1 = "a".repeat(40);
        let thumbprint = json!({"primaryThumbprint": sha1, "secondaryThumbprint": null});
        assert!(matches!(read(json!({})), Ok(None)));
        assert!(matches!(read(json!({"type": "sas", "symmetricKey": {"primaryKey": ""}})), Ok(None)));
        assert!(matches!(read(json!({"type": "none"})), Ok(Some(Authentication::None))));
        assert!(matches!(
            read(json!({"type": "certificateAuthority"})),
            Ok(Some(Authentication::CertificateAuthority))
        ));
        for body in [json!({"x509Thumbprint": thumbprint}), json!({"type": "selfSigned", "x509Thumbprint": thumbprint})]
        {
            let found = read(body).unwrap().unwrap();
            let text = serde_json::to_value(AuthenticationBody::from(&found)).unwrap();
            assert_eq!(text["x509Thumbprint"]["primaryThumbprint"], sha1.to_uppercase());
            assert_eq!((&text["type"], &text["symmetricKey"]["primaryKey"]), (&json!("selfSigned"), &json!(null)));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for body in [
            json!({"type": "magic"}),
            json!({"type": "selfSigned"}),
            json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "zz"}}),
            json!({"symmetricKey": {"primaryKey": "short"}}),
        ] {
            assert_eq!(read(body.clone()).unwrap_err().code, HubError::ARGUMENT.code, "{body}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let body: AuthenticationBody =
            serde_json::from_value(json!({"symmetricKey": {"primaryKey": "a2tra2tra2tra2tra2tra2tra2s="}})).unwrap();
        assert!(!format!("{body:?}").contains("a2tr"));
    }
}
