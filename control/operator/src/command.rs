//! Arguments of `millrace device ...` and `millrace policy ...`.
//! - Invariants: what may hold a secret is a [`Secret`], which `Debug` does not show.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

/// Looks after devices.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Create a device or module and print its connection string.
    Create {
        /// Who.
        #[command(flatten)]
        identity: IdentityArguments,
        /// Primary key, base64 of 16 to 64 bytes; a new one if left out.
        #[arg(long, value_name = "BASE64")]
        key: Option<Secret>,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// List devices.
    List {
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        top: usize,
        /// Begin behind this device id.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// Show a device or module, without its keys.
    Show {
        /// Who.
        #[command(flatten)]
        identity: IdentityArguments,
        /// Print the connection string instead.
        #[arg(long)]
        connection_string: bool,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// Let a device or module no longer connect, and end its session.
    Disable {
        /// Who.
        #[command(flatten)]
        identity: IdentityArguments,
        /// Why, at most 128 characters.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// Let a device or module connect again.
    Enable {
        /// Who.
        #[command(flatten)]
        identity: IdentityArguments,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// Delete a device with its modules, or a module, and end its session.
    Delete {
        /// Who.
        #[command(flatten)]
        identity: IdentityArguments,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// Create all devices of a CSV file: id, base64 key.
    Import {
        /// The file; `-` reads standard input. A first line that begins with the word id is a header.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Create the good lines even if others are bad; without it a bad line means that none is created.
        #[arg(long)]
        skip_bad: bool,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
}

/// Looks after the hub's own keys.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Print the connection string of a policy, for service programs and for `--hub`.
    ConnectionString {
        /// The policy: iothubowner, service, device, registryRead or registryReadWrite.
        #[arg(default_value = millrace_control::policies::OWNER)]
        name: String,
        /// Data directory of the hub.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Host name in the connection string; if left out, the one the hub has saved, or localhost.
        #[arg(long, value_name = "NAME")]
        host_name: Option<String>,
    },
}

/// Names a device or one of its modules.
#[derive(Debug, Args)]
pub struct IdentityArguments {
    /// Device id.
    #[arg(value_name = "ID")]
    pub device_id: String,
    /// Module id, for a module of the device.
    #[arg(long = "module", value_name = "ID")]
    pub module_id: Option<String>,
}

/// Which registry.
#[derive(Debug, Args)]
pub struct Target {
    /// Data directory of a hub on this machine, running or not.
    #[arg(long, value_name = "DIR", required_unless_present = "hub", conflicts_with = "hub")]
    pub data_dir: Option<PathBuf>,
    /// URL of a running hub's admin listener.
    #[arg(long, value_name = "URL")]
    pub hub: Option<String>,
    /// Service connection string for `--hub`; better in MILLRACE_CONNECTION_STRING, where other users do not see it.
    #[arg(long, value_name = "TEXT", requires = "hub")]
    pub service: Option<Secret>,
    /// Certificate authority of the hub, PEM, if the system does not know it.
    #[arg(long, value_name = "FILE", requires = "hub")]
    pub ca: Option<PathBuf>,
    /// Host name in printed connection strings; if left out, the one the hub has saved, or localhost.
    #[arg(long, value_name = "NAME")]
    pub host_name: Option<String>,
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
