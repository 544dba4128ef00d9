//! A PostgreSQL server as hubs use it: on a free loopback port, with its data in a temporary directory.
//! - Shape: drives `tests/servers/postgres.sh`, which installs the server on first use.
//! - Invariants: it keeps its port and data over [`Postgres::kill`] and [`Postgres::restart`]; it is gone when the value is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::programs::run;

/// See the module's documentation.
#[derive(Debug)]
pub struct Postgres {
    server: tempfile::TempDir,
    /// What hubs read lies apart: the server's directory belongs to another user.
    files: tempfile::TempDir,
}

impl Postgres {
    /// Starts a server.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn start() -> Result<Self> {
        let server = tempfile::Builder::new().prefix("millrace-postgres-").tempdir()?;
        let address = script("start", server.path())?;
        let postgres = Self { server, files: tempfile::tempdir()? };
        fs::write(postgres.url_file(), format!("postgres://millrace@{address}/postgres\n"))?;
        Ok(postgres)
    }

    /// The section of a hub's configuration that names it.
    #[must_use]
    pub fn configuration(&self) -> String {
        format!("[database]\nurl_file = \"{}\"\n", self.url_file().display())
    }

    fn url_file(&self) -> PathBuf {
        self.files.path().join("database-url")
    }

    /// Ends it as kill -9 does.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn kill(&self) -> Result<()> {
        script("kill", self.server.path()).map(drop)
    }

    /// Starts it again, or ends it in order and starts it again.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn restart(&self) -> Result<()> {
        script("restart", self.server.path()).map(drop)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The script's own watch ends it if this does not.
        drop(self.kill());
    }
}

/// Runs the script; answers the last line that it printed.
fn script(verb: &str, directory: &Path) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/postgres.sh");
    let mut command = Command::new("bash");
    command.arg(path).arg(verb).arg(directory).env("MILLRACE_TEST_PID", std::process::id().to_string());
    // Tests don't cut the power.
    command.env("MILLRACE_POSTGRES_OPTIONS", "-c fsync=off").stdin(Stdio::null());
    Ok(run(&mut command).context("PostgreSQL")?.lines().last().unwrap_or_default().to_owned())
}
