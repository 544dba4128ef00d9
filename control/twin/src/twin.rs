//! A twin as it is kept.
//! - Shape: JSON `{"f":1,"n":root version,"i":model id,"t":tags,"d":desired,"r":reported,"c":configurations}`, a section
//!   `{"v":version,"p":values,"m":metadata}`; short names, because there is one for each device.
//! - Invariants: every version starts at 1. The root version, and with it the etag, grows with what the service writes; reported
//!   properties leave it alone, so that a device that reports does not spoil the etags of those who write to it.
//! - Limits: an encoded twin has at most `TWIN_BYTES_MAX` bytes; see the arithmetic there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{DecodeError, TwinError};
use crate::etag;
use crate::limits::{CONFIGURATION_BYTES_MAX, CONFIGURATIONS_MAX};
use crate::section::Properties;

/// The format that is written. One that is larger was written by a newer program.
const FORMAT: u64 = 1;

/// A twin of a device or of a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Twin {
    #[serde(rename = "f")]
    pub(crate) format: u64,
    #[serde(rename = "n")]
    pub(crate) version: u64,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(crate) model_id: Option<Box<str>>,
    #[serde(rename = "t", default, skip_serializing_if = "Map::is_empty")]
    pub(crate) tags: Map<String, Value>,
    #[serde(rename = "d")]
    pub(crate) desired: Properties,
    #[serde(rename = "r")]
    pub(crate) reported: Properties,
    #[serde(rename = "c", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) configurations: BTreeMap<Box<str>, Box<str>>,
}

impl Default for Twin {
    fn default() -> Self {
        Self::fresh()
    }
}

impl Twin {
    /// The twin of a new identity: the same each time, so that one that is not stored needs not be.
    #[must_use]
    pub fn fresh() -> Self {
        Self {
            format: FORMAT,
            version: 1,
            model_id: None,
            tags: Map::new(),
            desired: Properties::fresh(),
            reported: Properties::fresh(),
            configurations: BTreeMap::new(),
        }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        json_bytes(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When it is not what [`Self::encode`] gave, or a newer program's.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Format {
            f: u64,
        }
        match serde_json::from_slice(bytes) {
            Ok(twin @ Self { format: FORMAT, .. }) => Ok(twin),
            Ok(twin) => Err(DecodeError::Format(twin.format)),
            Err(error) => match serde_json::from_slice::<Format>(bytes) {
                Ok(Format { f }) if f != FORMAT => Err(DecodeError::Format(f)),
                _ => Err(DecodeError::Shape(error)),
            },
        }
    }

    /// Version of the twin as a whole.
    #[must_use]
    pub const fn root_version(&self) -> u64 {
        self.version
    }

    /// The etag, not quoted.
    #[must_use]
    pub fn etag(&self) -> String {
        etag::text(self.version)
    }

    /// Version of the desired properties.
    #[must_use]
    pub const fn desired_version(&self) -> u64 {
        self.desired.version()
    }

    /// Version of the reported properties.
    #[must_use]
    pub const fn reported_version(&self) -> u64 {
        self.reported.version()
    }

    /// The tags.
    #[must_use]
    pub const fn tags(&self) -> &Map<String, Value> {
        &self.tags
    }

    /// The desired properties, without version and metadata.
    #[must_use]
    pub const fn desired(&self) -> &Map<String, Value> {
        self.desired.values()
    }

    /// The reported properties, without version and metadata.
    #[must_use]
    pub const fn reported(&self) -> &Map<String, Value> {
        self.reported.values()
    }

    /// The model that the device announced when it last connected.
    #[must_use]
    pub fn model_id(&self) -> Option<&str> {
        self.model_id.as_deref()
    }

    /// Notes the model that the device announces, or that it announces none. Whether that is news; versions stay.
    pub fn set_model_id(&mut self, model_id: Option<&str>) -> bool {
        let is_news = self.model_id.as_deref() != model_id;
        if is_news {
            self.model_id = model_id.map(Into::into);
        }
        is_news
    }

    /// Status of the automatic configurations that the twin remembers.
    pub fn configurations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.configurations.iter().map(|(id, status)| (&**id, &**status))
    }

    /// Notes the status of an automatic configuration, or forgets it. Whether that is news; versions stay.
    ///
    /// # Errors
    /// When there are too many, or the id or the status is too long.
    pub fn set_configuration(&mut self, id: &str, status: Option<&str>) -> Result<bool, TwinError> {
        let Some(status) = status else { return Ok(self.configurations.remove(id).is_some()) };
        if self.configurations.get(id).is_some_and(|known| **known == *status) {
            return Ok(false);
        }
        let is_full = self.configurations.len() >= CONFIGURATIONS_MAX && !self.configurations.contains_key(id);
        if is_full || id.len() > CONFIGURATION_BYTES_MAX || status.len() > CONFIGURATION_BYTES_MAX {
            return Err(TwinError::Configurations);
        }
        self.configurations.insert(id.into(), status.into());
        Ok(true)
    }
}

/// JSON text. Maps with text as keys cannot fail to be written, and there are no others here.
pub(crate) fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
