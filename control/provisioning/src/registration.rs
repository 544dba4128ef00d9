//! Registrations: what became of a device that asked for a hub.
//! - Source: Azure DPS, DeviceRegistrationResult and RegistrationOperationStatus.
//! - Shape: [`Registration`] is the durable document; [`Registration::state`] and [`Registration::operation`] are what devices and
//!   operators see of it.
//! - Invariants: pure. The state that is shown while a device is assigned anew is still the one before.

use millrace_model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::enrollment::CertificateInfoBody;
use crate::reprovision::Previous;

/// Statuses of a registration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RegistrationStatus {
    /// It has a hub.
    Assigned,
    /// A hub is being chosen and told.
    Assigning,
    /// Its enrollment is disabled.
    Disabled,
    /// It got no hub.
    Failed,
    /// It never asked.
    #[default]
    Unassigned,
}

/// What the last assignment did to the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Substatus {
    /// It moved with its twin.
    DeviceDataMigrated,
    /// It moved and began anew.
    DeviceDataReset,
    /// It is where it was assigned first.
    #[default]
    InitialAssignment,
}

/// A registration as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Registration {
    /// Who.
    pub registration_id: String,
    /// Where it stands.
    pub status: RegistrationStatus,
    /// The operation that devices ask about.
    pub operation_id: String,
    /// When the operation began, in milliseconds since 1970.
    pub began_ms: i64,
    /// When it was first registered.
    pub created_ms: i64,
    /// When this was last written.
    pub updated_ms: i64,
    /// Its hub: while it is assigned anew, the one before.
    pub assigned: Option<Assigned>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What the device sent along.
    pub request_payload: Option<Value>,
    /// What the webhook wants the device to know.
    pub payload: Option<Value>,
    /// How the device proved itself.
    pub evidence: Evidence,
    /// Changes with every change.
    pub etag: String,
}

/// A hub that a device has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Assigned {
    /// Its host name.
    pub hub: String,
    /// The device's id there.
    pub device_id: String,
    /// What that did to the device.
    pub substatus: Substatus,
}

/// Why an assignment failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    /// Numeric code.
    pub code: u32,
    /// For people.
    pub message: String,
}

/// How a device proved itself, as far as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// Its group, if it has one.
    pub enrollment_group_id: Option<String>,
    /// The device's certificate.
    pub certificate: Option<CertificateInfoBody>,
    /// The certificate that signed it.
    pub signing_certificate: Option<CertificateInfoBody>,
    /// Key of the device, wrapped for its TPM.
    pub tpm_authentication_key: Option<String>,
    /// Whether it was by a symmetric key.
    pub is_symmetric_key: bool,
}

impl Registration {
    /// The body of an answer to a device: the operation, and the state once there is an outcome.
    #[must_use]
    pub fn operation(&self) -> Value {
        let mut body = Map::new();
        body.insert("operationId".to_owned(), json!(self.operation_id));
        body.insert("status".to_owned(), json!(self.status));
        if self.status != RegistrationStatus::Assigning {
            body.insert("registrationState".to_owned(), self.state());
        }
        Value::Object(body)
    }

    /// The registration state, as devices and operators see it.
    #[must_use]
    pub fn state(&self) -> Value {
        let mut state = Map::new();
        let mut put = |name: &str, value: Value| state.insert(name.to_owned(), value);
        put("registrationId", json!(self.registration_id));
        put("createdDateTimeUtc", json!(time_text(self.created_ms)));
        if let Some(assigned) = &self.assigned {
            put("assignedHub", json!(assigned.hub));
            put("deviceId", json!(assigned.device_id));
        }
        put("status", json!(self.status));
        if let Some(assigned) = &self.assigned {
            put("substatus", json!(assigned.substatus));
        }
        if let Some(failure) = &self.failure {
            put("errorCode", json!(failure.code));
            put("errorMessage", json!(failure.message));
        }
        put("lastUpdatedDateTimeUtc", json!(time_text(self.updated_ms)));
        put("etag", json!(self.etag));
        if let Some(payload) = &self.payload {
            put("payload", payload.clone());
        }
        for (name, evidence) in self.evidence.members() {
            put(name, evidence);
        }
        Value::Object(state)
    }

    /// Where the device was assigned before the operation that is under way.
    #[must_use]
    pub fn previous(&self) -> Option<Previous> {
        let Assigned { hub, device_id, substatus } = self.assigned.clone()?;
        Some(Previous { hub, device_id, substatus })
    }

    /// The document's body.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which does not happen.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// From a document's body.
    ///
    /// # Errors
    /// When it is not what was once written.
    pub fn decode(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
}

impl Evidence {
    /// Members of what an allocation webhook is told.
    pub(crate) fn runtime(&self) -> Vec<(String, Value)> {
        let named = |(name, value): (&str, Value)| (name.to_owned(), value);
        let own = Self { tpm_authentication_key: None, ..self.clone() };
        own.members().into_iter().map(named).collect()
    }

    /// Members of the registration state.
    fn members(&self) -> Vec<(&'static str, Value)> {
        let group = |mut members: Map<String, Value>| {
            if let Some(id) = &self.enrollment_group_id {
                members.insert("enrollmentGroupId".to_owned(), json!(id));
            }
            Value::Object(members)
        };
        let info = |info: &CertificateInfoBody| json!({"primary": info});
        let mut members = Vec::new();
        if let Some(key) = &self.tpm_authentication_key {
            members.push(("tpm", json!({"authenticationKey": key})));
        }
        if let Some(certificate) = &self.certificate {
            let mut x509 = Map::new();
            x509.insert("certificateInfo".to_owned(), info(certificate));
            if let Some(signing) = &self.signing_certificate {
                x509.insert("signingCertificateInfo".to_owned(), info(signing));
            }
            members.push(("x509", group(x509)));
        }
        if self.is_symmetric_key {
            members.push(("symmetricKey", group(Map::new())));
        }
        members
    }
}

/// A time as SDKs read it, with seven digits behind the second.
#[must_use]
pub fn time_text(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).map_or_else(
        |_| "0001-01-01T00:00:00Z".to_owned(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%S.%3f0000Z").to_string(),
    )
}

/// An etag: changes with each version, and is another one when something is deleted and created again.
#[must_use]
pub(crate) fn etag(now: Timestamp, version: i64) -> String {
    use base64::Engine;
    let mut bytes = [0; 12];
    let (time, count) = bytes.split_at_mut(8);
    time.copy_from_slice(&now.0.to_be_bytes());
    count.copy_from_slice(&u32::try_from(version).unwrap_or(u32::MAX).to_be_bytes());
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration() -> Registration {
        Registration {
            registration_id: "reg1".to_owned(),
            status: RegistrationStatus::Assigned,
            operation_id: "4.0123456789abcdef.00000000-0000-0000-0000-000000000000".to_owned(),
            created_ms: 1_714_557_600_123,
            updated_ms: 1_714_557_600_234,
            assigned: Some(Assigned {
                hub: "hub.example.net".to_owned(),
                device_id: "reg1".to_owned(),
                substatus: Substatus::InitialAssignment,
            }),
            evidence: Evidence {
                enrollment_group_id: Some("g1".to_owned()),
                is_symmetric_key: true,
                ..Evidence::default()
            },
            etag: "IjAwMDAi".to_owned(),
            ..Registration::default()
        }
    }

    #[test]
    fn the_final_answer_is_the_documented_one() {
        let expected = json!({
            "operationId": "4.0123456789abcdef.00000000-0000-0000-0000-000000000000", "status": "assigned",
            "registrationState": {
                "registrationId": "reg1", "createdDateTimeUtc": "2024-05-01T10:00:00.1230000Z",
                "assignedHub": "hub.example.net", "deviceId": "reg1", "status": "assigned",
                "substatus": "initialAssignment", "lastUpdatedDateTimeUtc": "2024-05-01T10:00:00.2340000Z",
                "etag": "IjAwMDAi", "symmetricKey": {"enrollmentGroupId": "g1"}},
        });
        assert_eq!(registration().operation(), expected);
    }

    #[test]
    fn while_assigning_only_the_operation_is_told() {
        let assigning = Registration { status: RegistrationStatus::Assigning, ..registration() };
        assert!(assigning.operation().get("registrationState").is_none());
        assert_eq!(Registration::decode(&assigning.encode().unwrap()).unwrap(), assigning);
    }

    #[test]
    fn failures_and_certificates_are_shown() {
        let failed = Registration {
            status: RegistrationStatus::Failed,
            assigned: None,
            failure: Some(Failure { code: 400_207, message: "no hub".to_owned() }),
            evidence: Evidence { certificate: Some(CertificateInfoBody::default()), ..Evidence::default() },
            ..registration()
        };
        let state = failed.state();
        assert_eq!((&state["errorCode"], &state["errorMessage"]), (&json!(400_207), &json!("no hub")));
        assert!(state["x509"]["certificateInfo"]["primary"]["subjectName"].is_string());
        assert!(state.get("assignedHub").is_none() && state.get("symmetricKey").is_none());
    }

    #[test]
    fn etags_differ() {
        assert_ne!(etag(Timestamp(1), 1), etag(Timestamp(1), 2));
        assert_ne!(etag(Timestamp(1), 1), etag(Timestamp(2), 1));
    }
}
