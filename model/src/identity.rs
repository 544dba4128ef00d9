//! Who sent a message, as stamped on it by the hub: never taken from the message itself.
//! - Shape: five fields of UTF-8 joined by line feeds: device id, module id, generation id, authentication method, model id.
//! - Limits: no field holds a line feed ([`Identity::new`] refuses it), so the form is unambiguous.

/// One authenticated identity, encoded once at CONNECT and copied into each batch that it takes part in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity(Box<[u8]>);

/// A borrowed, decoded identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IdentityRef<'a> {
    /// Device id.
    pub device_id: &'a str,
    /// Module id; `None` for the device itself.
    pub module_id: Option<&'a str>,
    /// Changes when the identity is deleted and created again (`iothub-connection-auth-generation-id`).
    pub generation_id: &'a str,
    /// JSON text of `iothub-connection-auth-method`.
    pub auth_method: &'a str,
    /// DTDL model id announced on connect (`dt-dataschema`).
    pub model_id: Option<&'a str>,
}

impl Identity {
    /// Encodes an identity; `None` when a field holds a line feed.
    #[must_use]
    pub fn new(fields: &IdentityRef<'_>) -> Option<Self> {
        let all = [
            fields.device_id,
            fields.module_id.unwrap_or_default(),
            fields.generation_id,
            fields.auth_method,
            fields.model_id.unwrap_or_default(),
        ];
        if all.iter().any(|field| field.contains('\n')) {
            return None;
        }
        Some(Self(all.join("\n").into_bytes().into_boxed_slice()))
    }

    /// The encoded form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The decoded form.
    #[must_use]
    pub fn as_ref(&self) -> IdentityRef<'_> {
        IdentityRef::decode(&self.0).unwrap_or_default()
    }
}

impl<'a> IdentityRef<'a> {
    /// Decodes what [`Identity::as_bytes`] gave; `None` when it is not of that form.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(bytes).ok()?.split('\n');
        let identity = Self {
            device_id: fields.next()?,
            module_id: fields.next().map(non_empty)?,
            generation_id: fields.next()?,
            auth_method: fields.next()?,
            model_id: fields.next().map(non_empty)?,
        };
        fields.next().is_none().then_some(identity)
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_line_feeds() {
        let fields = IdentityRef {
            device_id: "d1",
            module_id: Some("m"),
            generation_id: "g",
            auth_method: "{}",
            model_id: None,
        };
        let identity = Identity::new(&fields).unwrap();
        assert_eq!(identity.as_ref(), fields);
        assert!(Identity::new(&IdentityRef { model_id: Some("a\nb"), ..fields }).is_none());
        assert!(IdentityRef::decode(b"a\nb").is_none());
    }
}
