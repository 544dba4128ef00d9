//! Where a command works: on the registry of a data directory, or through a hub.
//! - Invariants: what may hold a secret is a [`Secret`], which `Debug` does not show. A local hub's keys are read only once that hub has said
//!   where it listens, and go to that address only.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use millrace_control::policies::{OWNER, PROVISIONING_OWNER, Policies};
use millrace_protocols_identity::ConnectionString;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::OperatorError;
use crate::host_name;
use crate::hub::HubOperator;
use crate::identity::Operator;
use crate::limits::SMALL_FILE_BYTES_MAX;
use crate::local::LocalOperator;
use crate::service::{Audience, ServiceClient};

/// Certificate of a local hub's private CA, below its data directory.
const PRIVATE_CA: &str = "tls/ca.pem";

/// Where a command works, and how it shows what came of it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where")]
pub struct Target {
    /// Data directory of a hub on this machine. Devices, modules and policies are there whether it runs or not; all else asks the running
    /// hub, as do devices and modules that are in a PostgreSQL database.
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// URL of a hub; if left out, https:// and the host name of the connection string.
    #[arg(long, value_name = "URL", global = true)]
    pub hub: Option<String>,
    /// Service connection string; better in MILLRACE_CONNECTION_STRING or a file, where other users do not see it.
    #[arg(long, value_name = "TEXT", global = true, conflicts_with = "service_file")]
    pub service: Option<Secret>,
    /// File with the service connection string.
    #[arg(long, value_name = "FILE", global = true)]
    pub service_file: Option<PathBuf>,
    /// Certificate authority of the hub, PEM, if the system does not know it.
    #[arg(long, value_name = "FILE", global = true)]
    pub ca: Option<PathBuf>,
    /// Print results as JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Target {
    /// Who looks after identities there; `create`: a data directory without a registry gets one.
    pub(crate) async fn operator(
        &self,
        context: &Context<'_>,
        create: bool,
    ) -> Result<Box<dyn Operator>, OperatorError> {
        match self.local()? {
            Some(data_dir) if host_name::has_database(data_dir)? => {
                Ok(Box::new(HubOperator::new(local_client(data_dir, Audience::Hub)?)))
            }
            Some(data_dir) => Ok(Box::new(LocalOperator::open(data_dir, create).await?)),
            None => Ok(Box::new(HubOperator::new(self.remote(context)?))),
        }
    }

    /// A client of the hub there.
    pub(crate) fn client(&self, context: &Context<'_>, audience: Audience) -> Result<ServiceClient, OperatorError> {
        match self.local()? {
            Some(data_dir) => local_client(data_dir, audience),
            None => Ok(self.remote(context)?.of(audience)),
        }
    }

    /// Host name for connection strings: the one that is given, the one that the hub has saved, or that of the service's connection string.
    pub(crate) fn host_name(&self, given: Option<&str>, context: &Context<'_>) -> Result<String, OperatorError> {
        match (given, self.local()?) {
            (Some(given), _) => Ok(given.to_owned()),
            (None, Some(data_dir)) => Ok(host_name::load(data_dir)?),
            (None, None) => Ok(self.connection_string(context)?.host_name),
        }
    }

    /// The data directory, if that is what is meant.
    ///
    /// # Errors
    /// When options do not go together.
    pub(crate) fn local(&self) -> Result<Option<&Path>, OperatorError> {
        let is_remote = self.service.is_some() || self.service_file.is_some() || self.ca.is_some();
        match (&self.data_dir, &self.hub) {
            (Some(_), Some(_)) => Err(OperatorError::usage("either --data-dir or --hub, not both")),
            (Some(_), None) if is_remote => {
                Err(OperatorError::usage("--service, --service-file and --ca go with --hub, not with --data-dir"))
            }
            (data_dir, _) => Ok(data_dir.as_deref()),
        }
    }

    fn remote(&self, context: &Context<'_>) -> Result<ServiceClient, OperatorError> {
        let service = self.connection_string(context)?;
        let url = self.hub.clone().unwrap_or_else(|| format!("https://{}", service.host_name));
        ServiceClient::new(&url, service, self.ca.as_deref())
    }

    fn connection_string(&self, context: &Context<'_>) -> Result<ConnectionString, OperatorError> {
        let file = self.service_file.as_deref().map(connection_string_file).transpose()?;
        let given = self.service.as_ref().map(Secret::expose).or_else(|| file.as_deref().map(String::as_str));
        let text = given.or(context.service).ok_or_else(|| match self.hub {
            Some(_) => OperatorError::usage(
                "--hub needs a service connection string: MILLRACE_CONNECTION_STRING, --service-file or --service",
            ),
            None => OperatorError::usage(
                "which hub? --data-dir DIR for one on this machine, else --hub URL or MILLRACE_CONNECTION_STRING",
            ),
        })?;
        ConnectionString::parse(text).map_err(OperatorError::ConnectionString)
    }
}

/// A client of the hub that runs on a data directory.
fn local_client(data_dir: &Path, audience: Audience) -> Result<ServiceClient, OperatorError> {
    let not_running = || OperatorError::NotRunning(data_dir.to_owned());
    let admin = host_name::load_admin(data_dir)?.ok_or_else(not_running)?;
    let (policies, name) = match audience {
        Audience::Hub => (Policies::open(data_dir)?, OWNER),
        Audience::Provisioning => (Policies::open_provisioning(data_dir)?, PROVISIONING_OWNER),
    };
    let policy = policies.find(name).ok_or_else(not_running)?;
    let [primary, _] = policy.keys.as_ref();
    // For the address that is dialled: either service takes that, whatever names it was told to have.
    let service = ConnectionString::for_policy(&admin.to_string(), name, primary.clone());
    let ca = Some(data_dir.join(PRIVATE_CA)).filter(|path| path.exists());
    Ok(ServiceClient::new(&format!("http://{admin}"), service, ca.as_deref())?.of(audience).of_data_dir(data_dir))
}

fn connection_string_file(path: &Path) -> Result<Zeroizing<String>, OperatorError> {
    use std::io::Read as _;
    let failed = |source| OperatorError::File { path: path.to_owned(), source };
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(SMALL_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// An argument that is not shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
