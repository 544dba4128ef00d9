//! Carries out `millrace device ...` and `millrace policy ...`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use millrace_protocols_identity::{ConnectionString, Key};

use crate::command::{DeviceCommand, IdentityArguments, PolicyCommand, Target};
use crate::host_name;
use crate::import::{ImportReport, ImportRows};
use crate::{Device, HubOperator, LocalOperator, Operator, OperatorError};
use millrace_control::policies::Policies;
use millrace_control_store::limits::PAGE_IDENTITIES_MAX;
use millrace_control_store::registry::{IdentityName, Status};

/// What a command needs from the program around it.
pub struct Context<'a> {
    /// Value of the environment variable MILLRACE_CONNECTION_STRING.
    pub service: Option<&'a str>,
    /// Standard input, for `device import -`.
    pub input: &'a mut dyn BufRead,
    /// Told how many lines of an import have been read.
    pub progress: &'a mut dyn FnMut(u64),
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

/// What a command has to show.
#[derive(Debug)]
pub enum Outcome {
    /// A connection string: print it and nothing else.
    ConnectionString(ConnectionString),
    /// A device has this state now.
    Device(Device),
    /// A list, and whether it goes on.
    Devices {
        /// The devices.
        devices: Vec<Device>,
        /// Whether there are more behind the last one.
        more: bool,
    },
    /// A device is gone.
    Deleted(IdentityName),
    /// An import is over. With bad lines and without `--skip-bad` nothing was created, and the program should exit with 1.
    Imported(ImportReport),
}

/// Carries out a device command.
///
/// # Errors
/// When the arguments are wrong, or the registry or the hub refuses or fails.
pub async fn run(command: DeviceCommand, context: Context<'_>) -> Result<Outcome, OperatorError> {
    match command {
        DeviceCommand::Create { identity, key, target } => {
            let name = name(&identity)?;
            let key = key.map(|key| Key::from_base64(key.expose()).map_err(OperatorError::Key)).transpose()?;
            let chosen = choose(&target, &context, true).await?;
            let device = chosen.operator.create(&name, key).await?;
            chosen.connection_string(&device)
        }
        DeviceCommand::List { top, after, target } => {
            let chosen = choose(&target, &context, false).await?;
            list(chosen.operator.as_ref(), after, top).await
        }
        DeviceCommand::Show { identity, connection_string, target } => {
            let name = name(&identity)?;
            let chosen = choose(&target, &context, false).await?;
            let device = chosen.operator.show(&name).await?;
            if connection_string { chosen.connection_string(&device) } else { Ok(Outcome::Device(device)) }
        }
        DeviceCommand::Disable { identity, reason, target } => {
            let name = name(&identity)?;
            let operator = choose(&target, &context, false).await?.operator;
            Ok(Outcome::Device(operator.set_status(&name, Status::Disabled, reason).await?))
        }
        DeviceCommand::Enable { identity, target } => {
            let name = name(&identity)?;
            let operator = choose(&target, &context, false).await?.operator;
            Ok(Outcome::Device(operator.set_status(&name, Status::Enabled, None).await?))
        }
        DeviceCommand::Delete { identity, target } => {
            let name = name(&identity)?;
            choose(&target, &context, false).await?.operator.delete(&name).await?;
            Ok(Outcome::Deleted(name))
        }
        DeviceCommand::Import { file, skip_bad, target } => {
            let operator = choose(&target, &context, true).await?.operator;
            import(operator.as_ref(), &file, skip_bad, context).await
        }
    }
}

/// Carries out a policy command.
///
/// # Errors
/// When there is no such policy, or its file cannot be read.
pub fn run_policy(command: &PolicyCommand) -> Result<Outcome, OperatorError> {
    let PolicyCommand::ConnectionString { name, data_dir, host_name: given } = command;
    let policies = Policies::open(data_dir)?;
    let policy = policies.find(name).ok_or(OperatorError::Usage("there is no such policy"))?;
    let [primary, _] = policy.keys.as_ref();
    let host_name = given.clone().map_or_else(|| host_name::load(data_dir), Ok)?;
    Ok(Outcome::ConnectionString(ConnectionString::for_policy(&host_name, name, primary.clone())))
}

struct Chosen {
    operator: Box<dyn Operator>,
    host_name: String,
}

impl Chosen {
    fn connection_string(&self, device: &Device) -> Result<Outcome, OperatorError> {
        let text = device.connection_string(&self.host_name);
        text.map(Outcome::ConnectionString).ok_or(OperatorError::Usage("this identity has no key"))
    }
}

async fn choose(target: &Target, context: &Context<'_>, create: bool) -> Result<Chosen, OperatorError> {
    let given = target.host_name.clone();
    match (&target.data_dir, &target.hub) {
        (Some(_), None) if target.service.is_some() || target.ca.is_some() => {
            Err(OperatorError::Usage("--service and --ca go with --hub"))
        }
        (Some(data_dir), None) => Ok(Chosen {
            operator: Box::new(LocalOperator::open(data_dir, create).await?),
            host_name: given.map_or_else(|| host_name::load(data_dir), Ok)?,
        }),
        (None, Some(url)) => {
            let text = target.service.as_ref().map(super::command::Secret::expose).or(context.service);
            let text = text.ok_or(OperatorError::Usage(
                "--hub needs a service connection string: --service or MILLRACE_CONNECTION_STRING",
            ))?;
            let service = ConnectionString::parse(text).map_err(OperatorError::ConnectionString)?;
            let host_name = given.unwrap_or_else(|| service.host_name.clone());
            Ok(Chosen { operator: Box::new(HubOperator::new(url, service, target.ca.as_deref())?), host_name })
        }
        _ => Err(OperatorError::Usage("either --data-dir or --hub is needed")),
    }
}

fn name(identity: &IdentityArguments) -> Result<IdentityName, OperatorError> {
    Ok(IdentityName::new(&identity.device_id, identity.module_id.as_deref())?)
}

async fn list(operator: &dyn Operator, after: Option<String>, top: usize) -> Result<Outcome, OperatorError> {
    let mut devices: Vec<Device> = Vec::new();
    let mut after = after;
    while devices.len() < top {
        let wanted = top.saturating_sub(devices.len()).min(PAGE_IDENTITIES_MAX);
        let page = operator.list(after.as_deref(), wanted).await?;
        let full = page.len() >= wanted;
        devices.extend(page);
        after = devices.last().map(|device| device.device_id.clone());
        if !full {
            return Ok(Outcome::Devices { devices, more: false });
        }
    }
    let more = !operator.list(after.as_deref(), 1).await?.is_empty();
    Ok(Outcome::Devices { devices, more })
}

async fn import(
    operator: &dyn Operator,
    file: &Path,
    skip_bad: bool,
    context: Context<'_>,
) -> Result<Outcome, OperatorError> {
    let Context { input, progress, .. } = context;
    let report = if file == Path::new("-") {
        operator.import(ImportRows::new(input), skip_bad, progress).await?
    } else {
        let opened = File::open(file).map_err(|source| OperatorError::File { path: file.to_owned(), source })?;
        let mut opened = BufReader::with_capacity(256 * 1024, opened);
        operator.import(ImportRows::new(&mut opened), skip_bad, progress).await?
    };
    Ok(Outcome::Imported(report))
}
