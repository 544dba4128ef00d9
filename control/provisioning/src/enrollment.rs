//! Enrollments: which devices may register, how they prove themselves, and what becomes of them.
//! - Source: Azure DPS service REST API, IndividualEnrollment and EnrollmentGroup.
//! - Shape: [`Enrollment`] for one device, [`EnrollmentGroup`] for many; [`Terms`] are what both say about assignment.
//! - Invariants: pure. Members that are not known are skipped. `Debug` shows no key.
//! - Not here: how they are kept (`documents`), whether a device fulfils one (`attestation`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod mechanism;
mod problems;

pub use mechanism::{
    CaReferences, CertificateBody, CertificateInfoBody, Certificates, Mechanism, MechanismKind, SecretText,
    SymmetricKeys, TpmKeys, X509Mechanism,
};

/// An individual enrollment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Enrollment {
    /// Which registration it is for.
    pub registration_id: String,
    /// The device's id at its hub; the registration id if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// What became of it. Only in answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_state: Option<Value>,
    /// Anything the operator wants to keep with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional_device_information: Option<Value>,
    /// How the device proves itself.
    pub attestation: Mechanism,
    /// What becomes of it.
    #[serde(flatten)]
    pub terms: Terms,
}

/// An enrollment group.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnrollmentGroup {
    /// Its id.
    pub enrollment_group_id: String,
    /// How its devices prove themselves.
    pub attestation: Mechanism,
    /// What becomes of them.
    #[serde(flatten)]
    pub terms: Terms,
}

/// What an enrollment says about the assignment of its devices.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terms {
    /// Capabilities of the device at its hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Hub of the static policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iot_hub_host_name: Option<String>,
    /// First contents of the device's twin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_twin: Option<InitialTwin>,
    /// Changes with every change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Whether its devices may register.
    pub provisioning_status: ProvisioningStatus,
    /// What happens when a device registers again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reprovision_policy: Option<ReprovisionPolicy>,
    /// How a hub is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_policy: Option<AllocationPolicy>,
    /// Among which hubs; all linked ones if it is left out or empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iot_hubs: Option<Vec<String>>,
    /// Who chooses under the custom policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_allocation_definition: Option<CustomAllocation>,
    /// When it was created. Only in answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_date_time_utc: Option<String>,
    /// When it was last changed. Only in answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_updated_date_time_utc: Option<String>,
}

/// Capabilities of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Capabilities {
    /// It is a gateway for others.
    pub iot_edge: bool,
}

/// First contents of a twin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InitialTwin {
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Map<String, Value>,
    /// Properties.
    #[serde(deserialize_with = "null_is_default")]
    pub properties: InitialProperties,
}

/// First properties of a twin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InitialProperties {
    /// Desired ones.
    #[serde(deserialize_with = "null_is_default")]
    pub desired: Map<String, Value>,
}

/// Whether an enrollment's devices may register.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProvisioningStatus {
    /// They may not.
    Disabled,
    /// They may.
    #[default]
    Enabled,
}

/// What happens when a device registers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReprovisionPolicy {
    /// Its hub is chosen anew.
    pub update_hub_assignment: bool,
    /// Its twin comes along.
    pub migrate_device_data: bool,
}

/// How a hub is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AllocationPolicy {
    /// A webhook says which.
    Custom,
    /// The one that is reached in the shortest time.
    GeoLatency,
    /// Evenly, by the registration id.
    #[default]
    Hashed,
    /// The one that the enrollment names.
    Static,
}

/// Who chooses under the custom policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomAllocation {
    /// Where to ask.
    pub webhook_url: String,
    /// Version that the webhook speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
}

impl Default for ReprovisionPolicy {
    fn default() -> Self {
        Self { update_hub_assignment: true, migrate_device_data: true }
    }
}

impl Terms {
    /// Whether devices may register.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.provisioning_status == ProvisioningStatus::Enabled
    }
}

impl InitialTwin {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.properties.desired.is_empty()
    }
}

/// Reads `null` as if the member were left out: SDKs write both.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_sdks_send_is_read_and_written_again() {
        let sent = json!({
            "registrationId": "reg1", "deviceId": "d1",
            "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "a2tra2tra2tra2tra2tra2s="}},
            "capabilities": {"iotEdge": true},
            "initialTwin": {"tags": {"site": "A"}, "properties": {"desired": {"interval": 5}}},
            "provisioningStatus": "disabled",
            "reprovisionPolicy": {"updateHubAssignment": true, "migrateDeviceData": false},
            "allocationPolicy": "geoLatency", "iotHubs": ["a.example.net"],
            "customAllocationDefinition": {"webhookUrl": "https://x/", "apiVersion": "2019-03-31"},
        });
        let enrollment: Enrollment = serde_json::from_value(sent.clone()).unwrap();
        assert!(!enrollment.terms.is_enabled());
        assert_eq!(serde_json::to_value(&enrollment).unwrap(), sent);
        assert!(!format!("{enrollment:?}").contains("a2tra"), "keys are not shown");
    }

    #[test]
    fn nulls_and_unknown_members_are_skipped() {
        let text = r#"{"enrollmentGroupId":"g","attestation":{"type":"x509","x509":{"caReferences":{"primary":"ca"}}},
            "initialTwin":{"tags":null,"properties":{"desired":null}},"capabilities":null,"somethingNew":1}"#;
        let group: EnrollmentGroup = serde_json::from_str(text).unwrap();
        assert!(group.terms.initial_twin.unwrap().is_empty());
        assert_eq!(group.terms.provisioning_status, ProvisioningStatus::Enabled);
        assert!(group.terms.reprovision_policy.is_none());
    }
}
