//! What an operator can ask for: a file for each noun, with its arguments and what is done for them.
//! - Invariants: every command's help ends in examples, which a test reads as command lines.

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::OperatorError;
use crate::target::Target;

pub mod certificate;
pub mod command;
pub mod configuration;
pub mod device;
pub mod enrollment;
pub mod identity;
pub mod job;
pub mod method;
pub mod model;
pub mod module;
pub mod policy;
pub mod query;
pub mod twin;

use self::certificate::CertificateCommand;
use self::command::CommandCommand;
use self::configuration::ConfigurationCommand;
use self::device::DeviceCommand;
use self::enrollment::EnrollmentCommand;
use self::job::JobCommand;
use self::method::MethodCommand;
use self::model::ModelCommand;
use self::module::ModuleCommand;
use self::policy::PolicyCommand;
use self::query::QueryArguments;
use self::twin::TwinCommand;

/// Everything that an operator can ask for.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Devices: create, list, show, disable, enable, delete and import them.
    #[command(after_help = "\
Examples:
  millrace device create pump-1 --data-dir ./data        prints the connection string and nothing else
  millrace device import fleet.csv --data-dir ./data     lines of `id,base64 key`
  millrace device list --hub http://127.0.0.1:9464       with the service connection string in MILLRACE_CONNECTION_STRING

With --data-dir it works while the hub runs and while it does not; a running hub follows within a second.
Exit codes: 0 done, 1 failed, 2 wrong usage.")]
    Device(Noun<DeviceCommand>),
    /// Modules of devices.
    #[command(after_help = "\
Examples:
  millrace module create pump-1 camera --data-dir ./data        prints the module's connection string
  millrace module list pump-1 --data-dir ./data")]
    Module(Noun<ModuleCommand>),
    /// Twins: what a device should be like, what it says it is like, and tags for queries.
    #[command(after_help = "\
Examples:
  millrace twin show pump-1 --data-dir ./data
  millrace twin update pump-1 --desired '{\"interval\": 10}' --data-dir ./data")]
    Twin(Noun<TwinCommand>),
    /// Direct methods: call a device and have its answer.
    #[command(after_help = "\
Examples:
  millrace method call pump-1 reboot --payload '{\"delay\": 5}' --data-dir ./data")]
    Method(Noun<MethodCommand>),
    /// Cloud-to-device messages, which wait until the device takes them, and what became of them.
    #[command(after_help = "\
Examples:
  millrace command send pump-1 'wake up' --ack full --data-dir ./data
  millrace command feedback --data-dir ./data")]
    Command(Noun<CommandCommand>),
    /// The provisioning service: which devices may register, how they prove themselves, and what became of them.
    #[command(after_help = "\
Examples:
  millrace enrollment create pump-1 --data-dir ./data
  millrace enrollment group create line-7 --data-dir ./data
  millrace enrollment derive-key pump-2 --group line-7 --data-dir ./data

Through --hub it needs the connection string of the policy provisioningserviceowner.")]
    Enrollment(Noun<EnrollmentCommand>),
    /// Jobs: twins changed and methods called on many devices, identities imported and exported.
    #[command(after_help = "\
Examples:
  millrace job schedule-twin --query \"tags.site = 'A'\" --desired '{\"interval\": 10}' --data-dir ./data
  millrace job list --data-dir ./data")]
    Job(Noun<JobCommand>),
    /// Ask a question about all twins, jobs or modules.
    #[command(after_help = "\
Examples:
  millrace query \"SELECT * FROM devices WHERE tags.site = 'A'\" --data-dir ./data
  millrace query \"SELECT COUNT() AS n FROM devices GROUP BY status\" --json --data-dir ./data

Exit codes: 0 done, 1 failed or the query is not one, 2 wrong usage.")]
    Query(QueryArguments),
    /// DTDL models that describe what devices send and understand.
    #[command(after_help = "\
Examples:
  millrace model add thermostat.json --data-dir ./data
  millrace model list --data-dir ./data")]
    Model(Noun<ModelCommand>),
    /// Certificates of authorities whose devices may connect, and their revocation lists.
    #[command(after_help = "\
Examples:
  millrace cert add works-ca ca.pem --verified --data-dir ./data
  millrace cert list --data-dir ./data")]
    Cert(Noun<CertificateCommand>),
    /// Automatic configurations: properties that all devices of a kind get.
    #[command(after_help = "\
Examples:
  millrace configuration list --data-dir ./data
  millrace configuration create slow --target \"tags.site = 'A'\" --content @slow.json --data-dir ./data")]
    Configuration(Noun<ConfigurationCommand>),
    /// The hub's own keys.
    #[command(after_help = "\
Examples:
  millrace policy connection-string --data-dir ./data
  millrace policy list --data-dir ./data")]
    Policy(Noun<PolicyCommand>),
}

/// What is asked about a noun, and where.
#[derive(Debug, Args)]
pub struct Noun<C: Subcommand> {
    /// What is asked.
    #[command(subcommand)]
    pub command: C,
    /// Where.
    #[command(flatten)]
    pub target: Target,
}

impl OperatorCommand {
    /// Whether results are wanted as JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.target().json
    }

    fn target(&self) -> &Target {
        match self {
            Self::Device(noun) => &noun.target,
            Self::Module(noun) => &noun.target,
            Self::Twin(noun) => &noun.target,
            Self::Method(noun) => &noun.target,
            Self::Command(noun) => &noun.target,
            Self::Enrollment(noun) => &noun.target,
            Self::Job(noun) => &noun.target,
            Self::Query(query) => &query.target,
            Self::Model(noun) => &noun.target,
            Self::Cert(noun) => &noun.target,
            Self::Configuration(noun) => &noun.target,
            Self::Policy(noun) => &noun.target,
        }
    }
}

/// Carries out a command.
///
/// # Errors
/// When the arguments are wrong, or the registry or the hub refuses or fails.
pub async fn run(command: OperatorCommand, mut context: Context<'_>) -> Result<(), OperatorError> {
    let context = &mut context;
    match command {
        OperatorCommand::Device(noun) => device::run(noun.command, &noun.target, context).await,
        OperatorCommand::Module(noun) => module::run(noun.command, &noun.target, context).await,
        OperatorCommand::Twin(noun) => twin::run(noun.command, &noun.target, context).await,
        OperatorCommand::Method(noun) => method::run(noun.command, &noun.target, context).await,
        OperatorCommand::Command(noun) => command::run(noun.command, &noun.target, context).await,
        OperatorCommand::Enrollment(noun) => enrollment::run(noun.command, &noun.target, context).await,
        OperatorCommand::Job(noun) => job::run(noun.command, &noun.target, context).await,
        OperatorCommand::Query(query) => query::run(query, context).await,
        OperatorCommand::Model(noun) => model::run(noun.command, &noun.target, context).await,
        OperatorCommand::Cert(noun) => certificate::run(noun.command, &noun.target, context).await,
        OperatorCommand::Configuration(noun) => configuration::run(noun.command, &noun.target, context).await,
        OperatorCommand::Policy(noun) => policy::run(noun.command, &noun.target, context),
    }
}
