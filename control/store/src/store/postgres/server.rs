//! A real PostgreSQL server for the tests of one process, with a database for each test.
//! - Shape: drives `tests/servers/postgres.sh`, which installs the server on first use and ends it with this process.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, PgConnection};

/// Makes an empty database; answers its address.
pub(crate) async fn database() -> String {
    static SERVER: OnceLock<String> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(start);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    format!("{server}/{name}")
}

/// Starts the server; answers its address without a database.
fn start() -> String {
    let directory = tempfile::Builder::new().prefix("millrace-postgres-").tempdir().unwrap().keep();
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "tests", "servers", "postgres.sh"].iter().collect();
    let output = Command::new("bash")
        .arg(script)
        .arg("start")
        .arg(directory)
        .env("MILLRACE_TEST_PID", std::process::id().to_string())
        // Tests don't cut the power.
        .env("MILLRACE_POSTGRES_OPTIONS", "-c fsync=off")
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let address = String::from_utf8(output.stdout).unwrap();
    format!("postgres://millrace@{}", address.lines().last().unwrap())
}
