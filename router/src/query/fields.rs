//! What the conditions of one table read, each thing numbered once, so that a message's bag and body are walked once for all
//! routes.
//! - Shape: properties hash into buckets by length, first and last byte; body paths form a trie.
//! - Limits: [`PROPERTY_FIELDS_MAX`], [`BODY_FIELDS_MAX`].

use millrace_model::SystemProperty;

use super::ast::PathStep;
use super::body::PathNode;
use super::columns::Column;
use super::error::Problem;
use crate::limits::{BODY_FIELDS_MAX, PROPERTY_FIELDS_MAX};

/// For error messages.
pub(super) const SYSTEM_NAMES: &str = "contentType, contentEncoding, connectionDeviceId, connectionModuleId, enqueuedTime, \
     messageId, userId, correlationId, connectionAuthMethod, connectionDeviceGenerationId, dt-dataschema, dt-subject, \
     iothub-interface-id, iothub-interface-name, iothub-message-source, creationTimeUtc, absoluteExpiryTime, to, outputName, \
     body and twin";

const BUCKETS: usize = 64;

/// A fact about a message that is no application property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SystemField {
    Identity(IdentityField),
    EnqueuedTime,
    MessageSource,
    /// Set by the sender.
    Property(SystemProperty),
}

/// A fact about the sender: one answer for all its messages in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum IdentityField {
    DeviceId,
    ModuleId,
    AuthMethod,
    GenerationId,
    DataSchema,
}

/// Name of a property that a condition reads.
#[derive(Debug, Clone)]
pub(crate) enum PropertyKey {
    /// As a condition spells it; equal whatever the case of its ASCII letters.
    Application(String),
    System(SystemProperty),
}

#[derive(Debug, Clone)]
pub(crate) struct Fields {
    properties: Vec<PropertyKey>,
    buckets: [Vec<u16>; BUCKETS],
    pub(super) columns: Vec<Column>,
    pub(super) paths: PathNode,
    path_count: usize,
    pub(super) content_type: Option<u16>,
    pub(super) content_encoding: Option<u16>,
    pub(super) reads_identity: bool,
    /// How many answers per identity are remembered.
    pub(super) identity_leaves: usize,
}

impl SystemField {
    /// By its name in queries or on delivered messages, without the dollar sign and without regard to case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let named = [
            ("connectionDeviceId", Self::Identity(IdentityField::DeviceId)),
            ("iothub-connection-device-id", Self::Identity(IdentityField::DeviceId)),
            ("connectionModuleId", Self::Identity(IdentityField::ModuleId)),
            ("iothub-connection-module-id", Self::Identity(IdentityField::ModuleId)),
            ("connectionAuthMethod", Self::Identity(IdentityField::AuthMethod)),
            ("iothub-connection-auth-method", Self::Identity(IdentityField::AuthMethod)),
            ("connectionDeviceGenerationId", Self::Identity(IdentityField::GenerationId)),
            ("connectionAuthGenerationId", Self::Identity(IdentityField::GenerationId)),
            ("iothub-connection-auth-generation-id", Self::Identity(IdentityField::GenerationId)),
            ("dt-dataschema", Self::Identity(IdentityField::DataSchema)),
            ("enqueuedTime", Self::EnqueuedTime),
            ("iothub-enqueuedtime", Self::EnqueuedTime),
            ("iothub-message-source", Self::MessageSource),
            // The older name of the component that `dt-subject` names now.
            ("iothub-interface-name", Self::Property(SystemProperty::DtSubject)),
        ];
        let named = named.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, field)| field);
        named.or_else(|| {
            SystemProperty::ALL
                .into_iter()
                .find(|known| {
                    known.query_name().eq_ignore_ascii_case(name) || known.delivered_name().eq_ignore_ascii_case(name)
                })
                .map(Self::Property)
        })
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            properties: Vec::new(),
            buckets: std::array::from_fn(|_| Vec::new()),
            columns: Vec::new(),
            paths: PathNode::default(),
            path_count: 0,
            content_type: None,
            content_encoding: None,
            reads_identity: false,
            identity_leaves: 0,
        }
    }
}

impl Fields {
    /// The number of a property, new or known.
    pub(super) fn property(&mut self, key: PropertyKey) -> Result<u16, Problem> {
        if let Some(known) = self.properties.iter().position(|known| known.is(key.name())) {
            return u16::try_from(known).map_err(|_| Problem::TooManyFields);
        }
        if self.properties.len() >= PROPERTY_FIELDS_MAX {
            return Err(Problem::TooManyFields);
        }
        let number = u16::try_from(self.properties.len()).map_err(|_| Problem::TooManyFields)?;
        if let Some(bucket) = bucket(key.name()).and_then(|bucket| self.buckets.get_mut(bucket)) {
            bucket.push(number);
        }
        self.properties.push(key);
        Ok(number)
    }

    /// The number of a property's column, new or known.
    pub(super) fn column(&mut self, field: u16) -> usize {
        let known = self.columns.iter().position(|known| known.field == field);
        known.unwrap_or_else(|| {
            self.columns.push(Column::new(field));
            self.columns.len() - 1
        })
    }

    /// The number of a body path, new or known. What says whether there is a readable body is wanted too.
    pub(super) fn body(&mut self, path: &[PathStep]) -> Result<u16, Problem> {
        self.content_type = Some(self.property(PropertyKey::System(SystemProperty::ContentType))?);
        self.content_encoding = Some(self.property(PropertyKey::System(SystemProperty::ContentEncoding))?);
        let next = u16::try_from(self.path_count).map_err(|_| Problem::TooManyFields)?;
        let number = self.paths.insert(path, next);
        if number == next {
            if self.path_count >= BODY_FIELDS_MAX {
                return Err(Problem::TooManyFields);
            }
            self.path_count += 1;
        }
        Ok(number)
    }

    pub(super) const fn property_count(&self) -> usize {
        self.properties.len()
    }

    pub(super) const fn path_count(&self) -> usize {
        self.path_count
    }

    /// The number of the property with this decoded key.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<u16> {
        let bucket = self.buckets.get(bucket(key)?)?;
        bucket
            .iter()
            .copied()
            .find(|&number| self.properties.get(usize::from(number)).is_some_and(|known| known.is(key)))
    }
}

impl PropertyKey {
    fn name(&self) -> &[u8] {
        match self {
            Self::Application(name) => name.as_bytes(),
            Self::System(property) => property.bag_key().as_bytes(),
        }
    }

    /// Application properties are named without regard to case, the keys of system properties are fixed.
    fn is(&self, key: &[u8]) -> bool {
        match self {
            // Senders mostly spell it as the condition does, and bytes compare faster than letters.
            Self::Application(name) => name.as_bytes() == key || name.as_bytes().eq_ignore_ascii_case(key),
            Self::System(property) => property.bag_key().as_bytes() == key,
        }
    }
}

/// Case-blind for ASCII letters; other bytes merely share buckets.
#[inline]
fn bucket(key: &[u8]) -> Option<usize> {
    let (&first, &last) = (key.first()?, key.last()?);
    let hash = key.len().wrapping_mul(31) ^ usize::from(first | 0x20).wrapping_mul(7) ^ usize::from(last | 0x20);
    Some(hash % BUCKETS)
}
