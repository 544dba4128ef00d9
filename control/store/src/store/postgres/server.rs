//! A real PostgreSQL server for the tests of one process, with a database for each test.
//! - Shape: drives `tests/servers/postgres.sh`, which installs the server on first use and ends it with this process.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, PgConnection};

/// A running server. It ends, and its directory goes, with this process.
pub(crate) struct Server {
    directory: PathBuf,
    address: String,
}

impl Server {
    /// Starts one of its own.
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("millrace-postgres-").tempdir().unwrap().keep();
        let address = script("start", &directory);
        Self { directory, address: format!("postgres://millrace@{address}") }
    }

    /// The one that the tests of this process share.
    pub(crate) fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    /// Makes an empty database; answers its address.
    pub(crate) async fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&format!("{}/postgres", self.address)).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        format!("{}/{name}", self.address)
    }

    /// Ends it with `kill -9`.
    pub(crate) fn kill(&self) {
        script("kill", &self.directory);
    }

    /// Makes it silent, as if its machine had vanished.
    pub(crate) fn pause(&self) {
        script("pause", &self.directory);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        script("resume", &self.directory);
    }

    /// Starts it again with the same port and data.
    pub(crate) fn restart(&self) {
        script("restart", &self.directory);
    }
}

/// Runs the script; answers the last line it printed.
fn script(verb: &str, directory: &std::path::Path) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "tests", "servers", "postgres.sh"].iter().collect();
    let mut command = Command::new("bash");
    command.arg(path).arg(verb).arg(directory).env("MILLRACE_TEST_PID", std::process::id().to_string());
    // Tests don't cut the power.
    command.env("MILLRACE_POSTGRES_OPTIONS", "-c fsync=off").stdin(Stdio::null());
    let output = command.output().expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}
