//! `millrace policy`: shared access policies, read from the data directory's files.

use clap::Subcommand;
use millrace_control::policies::{OWNER, PROVISIONING_OWNER, Policies};
use millrace_protocols_identity::ConnectionString;
use serde_json::json;

use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::table::{Cell, Columns, Rows};
use crate::target::Target;

const COLUMNS: Columns = Columns::Fixed(&[("POLICY", Cell::At("/name")), ("PERMITS", Cell::At("/permits"))]);

/// All policies, and what they are good for.
const POLICIES: [(&str, &str); 6] = [
    (OWNER, "everything at the hub"),
    ("service", "twins, methods, messages to devices, feedback, jobs, queries"),
    ("device", "everything that devices may, as any device"),
    ("registryRead", "reading identities"),
    ("registryReadWrite", "reading, creating, changing and deleting identities"),
    (PROVISIONING_OWNER, "everything at the provisioning service"),
];

/// What can be asked about policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Print the connection string of a policy, for service programs and for `--hub`.
    #[command(after_help = "\
Examples:
  millrace policy connection-string --data-dir ./data
  millrace policy connection-string registryRead --host-name hub.example.net --data-dir ./data
  millrace policy connection-string provisioningserviceowner --data-dir ./data")]
    ConnectionString {
        /// The policy: iothubowner, service, device, registryRead, registryReadWrite or provisioningserviceowner.
        #[arg(value_name = "POLICY", default_value = OWNER)]
        name: String,
        /// Host name in the connection string; if left out, the one the hub has saved, or localhost.
        #[arg(long, value_name = "NAME")]
        host_name: Option<String>,
    },
    /// List the policies and what they permit, without their keys.
    #[command(after_help = "\
Examples:
  millrace policy list --data-dir ./data")]
    List,
}

pub(super) fn run(command: PolicyCommand, target: &Target, context: &mut Context<'_>) -> Result<(), OperatorError> {
    let PolicyCommand::ConnectionString { name, host_name } = command else {
        let rows = POLICIES.iter().map(|(name, permits)| json!({ "name": name, "permits": permits })).collect();
        return context.show(Outcome::Rows(Rows::all(COLUMNS, rows)));
    };
    let data_dir = target
        .local()?
        .ok_or_else(|| OperatorError::usage("policies are read from a data directory: --data-dir DIR"))?;
    let policies = match name.as_str() {
        PROVISIONING_OWNER => Policies::open_provisioning(data_dir)?,
        _ => Policies::open(data_dir)?,
    };
    let policy = policies.find(&name).ok_or_else(|| OperatorError::usage("there is no such policy: `policy list`"))?;
    let [primary, _] = policy.keys.as_ref();
    let host_name = target.host_name(host_name.as_deref(), context)?;
    let text = ConnectionString::for_policy(&host_name, &name, primary.clone());
    context.show(Outcome::ConnectionString(text))
}
