//! The sections of the control side, as its parts define them.

use millrace_control::{ControlConfig, RegistryConfig, ThrottleConfig};
use millrace_control_command::CommandConfig;
use millrace_control_files::FilesConfig;
use millrace_control_jobs::Settings as JobsSettings;
use millrace_control_provisioning::ProvisioningConfig;

use super::document::{Document, Problem};
use super::sections::DatabaseSection;

/// What the control side is told.
#[derive(Debug, Clone)]
pub(crate) struct ControlSections {
    pub(crate) database: DatabaseSection,
    pub(crate) registry: RegistryConfig,
    pub(crate) control: ControlConfig,
    pub(crate) commands: CommandConfig,
    pub(crate) throttles: ThrottleConfig,
    pub(crate) files: FilesConfig,
    pub(crate) jobs: JobsSettings,
    pub(crate) provisioning: ProvisioningConfig,
}

impl ControlSections {
    /// Takes its sections out of a document, and reports what is wrong with them.
    pub(super) fn take(document: &mut Document<'_>) -> Self {
        let sections = Self {
            database: document.section("database"),
            registry: document.section("registry"),
            control: document.section("control"),
            commands: document.section("commands"),
            throttles: document.section("throttles"),
            files: document.section("files"),
            jobs: JobsSettings { jobs: document.section("jobs"), configurations: document.section("configurations") },
            provisioning: document.section("provisioning"),
        };
        document.problems.extend(sections.problems().into_iter().map(Problem::new));
        sections
    }

    fn problems(&self) -> Vec<String> {
        let of_parts = [
            self.registry.validate(),
            self.control.validate(),
            self.commands.validate(),
            self.throttles.validate(),
            self.files.validate(),
            self.jobs.jobs.validate(),
            self.jobs.configurations.validate(),
            self.provisioning.validate(),
        ];
        of_parts.concat()
    }
}
