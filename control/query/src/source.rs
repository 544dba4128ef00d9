//! What can be queried, and how the hub spells the members of its rows.
//! - Shape: names of collections and of the hub's own members are taken without regard to case, as the hub does; names that devices
//!   and services choose (in tags and properties) are not.

use crate::path::{Path, Step};

/// For messages.
pub(crate) const SOURCE_NAMES: &str =
    "devices, devices.modules, devices.jobs, enrollments, enrollmentGroups and deviceRegistrations";

/// A collection of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Twins of devices.
    Devices,
    /// Twins of modules.
    Modules,
    /// What jobs did to each device.
    Jobs,
    /// Individual enrollments.
    Enrollments,
    /// Enrollment groups.
    EnrollmentGroups,
    /// Registrations of devices.
    Registrations,
}

/// What the rows of an answer are: the header `x-ms-item-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemType {
    /// Twins.
    Twin,
    /// Objects with the columns that were selected.
    Raw,
    /// What a job did to a device.
    DeviceJob,
    /// Jobs; not an answer of this language, but of the list of jobs.
    JobResponse,
    /// Individual enrollments.
    Enrollment,
    /// Enrollment groups.
    EnrollmentGroup,
    /// Registrations.
    DeviceRegistration,
}

/// Members of twins; those behind a dot belong to the one before it.
const TWIN: &[&str] = &[
    "deviceId",
    "moduleId",
    "modelId",
    "etag",
    "deviceEtag",
    "version",
    "status",
    "statusReason",
    "statusUpdateTime",
    "connectionState",
    "connectionStateUpdatedTime",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
    "authenticationType",
    "x509Thumbprint",
    "x509Thumbprint.primaryThumbprint",
    "x509Thumbprint.secondaryThumbprint",
    "tags",
    "properties",
    "properties.desired",
    "properties.reported",
    "capabilities",
    "capabilities.iotEdge",
    "configurations",
    "deviceScope",
    "parentScopes",
];

const JOB: &[&str] = &[
    "deviceId",
    "moduleId",
    "jobId",
    "jobType",
    "status",
    "startTimeUtc",
    "endTimeUtc",
    "createdDateTimeUtc",
    "lastUpdatedDateTimeUtc",
    "outcome",
    "outcome.deviceMethodResponse",
    "error",
    "error.code",
    "error.description",
];

const ENROLLMENT: &[&str] = &[
    "registrationId",
    "enrollmentGroupId",
    "deviceId",
    "registrationState",
    "optionalDeviceInformation",
    "attestation",
    "attestation.type",
    "capabilities",
    "capabilities.iotEdge",
    "iotHubHostName",
    "initialTwin",
    "initialTwin.tags",
    "initialTwin.properties",
    "etag",
    "provisioningStatus",
    "reprovisionPolicy",
    "reprovisionPolicy.updateHubAssignment",
    "reprovisionPolicy.migrateDeviceData",
    "allocationPolicy",
    "iotHubs",
    "customAllocationDefinition",
    "createdDateTimeUtc",
    "lastUpdatedDateTimeUtc",
];

const REGISTRATION: &[&str] = &[
    "registrationId",
    "createdDateTimeUtc",
    "assignedHub",
    "deviceId",
    "status",
    "substatus",
    "errorCode",
    "errorMessage",
    "lastUpdatedDateTimeUtc",
    "etag",
    "payload",
];

impl Source {
    /// The collection of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let names = [
            ("devices", Self::Devices),
            ("devices.modules", Self::Modules),
            ("devices.jobs", Self::Jobs),
            ("enrollments", Self::Enrollments),
            ("enrollmentGroups", Self::EnrollmentGroups),
            ("deviceRegistrations", Self::Registrations),
            ("deviceRegistration", Self::Registrations),
            ("registrations", Self::Registrations),
        ];
        names.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, source)| source)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Modules => "devices.modules",
            Self::Jobs => "devices.jobs",
            Self::Enrollments => "enrollments",
            Self::EnrollmentGroups => "enrollmentGroups",
            Self::Registrations => "deviceRegistrations",
        }
    }

    /// Whether the hub has it; else the provisioning service does.
    #[must_use]
    pub const fn is_of_hub(self) -> bool {
        matches!(self, Self::Devices | Self::Modules | Self::Jobs)
    }

    /// The member that its rows are looked up by.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Devices | Self::Modules | Self::Jobs => "deviceId",
            Self::Enrollments | Self::Registrations => "registrationId",
            Self::EnrollmentGroups => "enrollmentGroupId",
        }
    }

    /// What its whole rows are.
    #[must_use]
    pub const fn item_type(self) -> ItemType {
        match self {
            Self::Devices | Self::Modules => ItemType::Twin,
            Self::Jobs => ItemType::DeviceJob,
            Self::Enrollments => ItemType::Enrollment,
            Self::EnrollmentGroups => ItemType::EnrollmentGroup,
            Self::Registrations => ItemType::DeviceRegistration,
        }
    }

    /// Makes a path that of a row: without the collection's name before it, the hub's own members in the hub's own spelling.
    pub(crate) fn resolve(self, path: &mut Path) {
        self.strip(path);
        let mut written = String::new();
        for step in path.0.iter_mut().take(2) {
            let Step::Key(key) = step else { return };
            if !written.is_empty() {
                written.push('.');
            }
            written.push_str(key);
            let Some(known) = self.known(&written) else { return };
            written.clear();
            written.push_str(known);
            *key = known.rsplit('.').next().unwrap_or(known).into();
        }
    }

    /// Takes the collection's name off a path that goes on behind it: `devices.jobs.status`.
    fn strip(self, path: &mut Path) {
        let prefix: Vec<_> = self.name().split('.').collect();
        let named = path
            .0
            .iter()
            .zip(&prefix)
            .all(|(step, part)| matches!(step, Step::Key(key) if key.eq_ignore_ascii_case(part)));
        if named && matches!(path.0.get(prefix.len()), Some(Step::Key(_))) {
            path.0.drain(..prefix.len());
        }
    }

    fn known(self, written: &str) -> Option<&'static str> {
        let members = match self {
            Self::Devices | Self::Modules => TWIN,
            Self::Jobs => JOB,
            Self::Enrollments | Self::EnrollmentGroups => ENROLLMENT,
            Self::Registrations => REGISTRATION,
        };
        // The documents of the hub's makers use both names.
        if self == Self::Jobs && written.eq_ignore_ascii_case("createdTimeUtc") {
            return Some("createdDateTimeUtc");
        }
        members.iter().copied().find(|member| member.eq_ignore_ascii_case(written))
    }
}

impl ItemType {
    /// The header's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Twin => "Twin",
            Self::Raw => "Raw",
            Self::DeviceJob => "DeviceJob",
            Self::JobResponse => "JobResponse",
            Self::Enrollment => "Enrollment",
            Self::EnrollmentGroup => "EnrollmentGroup",
            Self::DeviceRegistration => "DeviceRegistration",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: Source, written: &[&str], expected: &str) {
        let mut path = Path(written.iter().map(|&key| Step::Key(key.into())).collect());
        source.resolve(&mut path);
        assert_eq!(path.to_string(), expected);
    }

    #[test]
    fn only_the_hubs_own_names_lose_their_case() {
        check(Source::Devices, &["DEVICEID"], "deviceId");
        check(Source::Devices, &["Properties", "Reported", "Fw"], "properties.reported.Fw");
        check(Source::Devices, &["Tags", "Status"], "tags.Status");
        check(Source::Devices, &["devices", "tags", "a"], "tags.a");
        check(Source::Devices, &["devices"], "devices");
        check(Source::Modules, &["devices", "modules", "ModuleId"], "moduleId");
        check(Source::Jobs, &["Devices", "Jobs", "createdTimeUtc"], "createdDateTimeUtc");
        check(Source::Registrations, &["SubStatus"], "substatus");
    }
}
