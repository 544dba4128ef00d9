//! What can be wrong with a key, a connection string, a token or a user name.
//! - Invariants: an error says which part is wrong, never what stood there: the part may be a secret in the wrong place.

use millrace_model::{Classify, Kind};

/// Why text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not base64.
    #[error("the key is not base64")]
    NotBase64,
    /// The decoded key has a length outside the allowed range.
    #[error("the key has {bytes} bytes, allowed are 16 to 64")]
    Length {
        /// Bytes after decoding.
        bytes: usize,
    },
}

/// Why text is not a connection string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// A field that must be there is not.
    #[error("{name} is missing")]
    Missing {
        /// The field's name.
        name: &'static str,
    },
    /// A field stands twice.
    #[error("{name} stands twice")]
    Duplicate {
        /// The field's name.
        name: &'static str,
    },
    /// A field has an empty or impossible value.
    #[error("the value of {name} is not valid")]
    Invalid {
        /// The field's name.
        name: &'static str,
    },
    /// A field is known by another spelling.
    #[error("part {part} must be spelled {name}: names are case-sensitive")]
    Case {
        /// Number of the part, from 1.
        part: usize,
        /// The right spelling.
        name: &'static str,
    },
    /// A part has no name, or one that is not known. It is not repeated here: it could be a key without its name.
    #[error("part {part} has no known name")]
    Unknown {
        /// Number of the part, from 1.
        part: usize,
    },
    /// The key is not usable.
    #[error("SharedAccessKey is not usable")]
    Key(#[source] KeyError),
    /// There is no key, no token and no `x509=true`, or more than one of them.
    #[error("exactly one of SharedAccessKey, SharedAccessSignature and x509=true is needed")]
    Credential,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The scheme word is missing or another one.
    #[error("the token does not begin with SharedAccessSignature")]
    Scheme,
    /// Longer than any client sends.
    #[error("the token is longer than {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// A field that must be there is not.
    #[error("the token has no {field}")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field stands twice, so its meaning is open.
    #[error("the token has {field} twice")]
    Duplicate {
        /// The field's name.
        field: &'static str,
    },
    /// A field cannot be decoded.
    #[error("the token's {field} cannot be decoded")]
    Field {
        /// The field's name.
        field: &'static str,
    },
    /// The expiry time has passed.
    #[error("the token has expired")]
    Expired,
    /// No key made this signature.
    #[error("the token's signature matches no key")]
    Signature,
}

/// Why an MQTT user name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserNameError {
    /// Not `host/device[/module][/?query]`.
    #[error("the user name is not host/device[/module][/?query]")]
    Shape,
    /// The device id holds a character that ids cannot have, or is too long.
    #[error("the user name's device id is not valid")]
    DeviceId,
    /// Likewise the module id.
    #[error("the user name's module id is not valid")]
    ModuleId,
    /// A query value does not decode to UTF-8, or is too long.
    #[error("the user name's {field} cannot be decoded or is too long")]
    Field {
        /// The field's name.
        field: &'static str,
    },
    /// A provisioning client: [`crate::user_name::Registration`] reads this one.
    #[error("the user name is that of a provisioning client")]
    Provisioning,
}

impl Classify for KeyError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}

impl Classify for ConnectionStringError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}

impl Classify for TokenError {
    fn kind(&self) -> Kind {
        match self {
            Self::Expired | Self::Signature => Kind::Unauthenticated,
            _ => Kind::Malformed,
        }
    }
}

impl Classify for UserNameError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}
