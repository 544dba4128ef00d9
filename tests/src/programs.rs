//! The programs under test, as `cargo build --workspace --bins` left them beside this test.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

/// Path of a program of this workspace.
///
/// # Errors
/// When it was not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    // target/PROFILE/deps/TEST
    let profile = own.parent().and_then(std::path::Path::parent).context("no target directory")?;
    let path = profile.join(name);
    ensure!(path.exists(), "{} is not there: run `cargo build --workspace --bins` first", path.display());
    Ok(path)
}

/// A command of `millrace`.
///
/// # Errors
/// When it was not built.
pub fn millrace(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(program("millrace")?);
    command.args(arguments);
    Ok(command)
}

/// Runs a command to its end and gives what it printed; anything but exit code 0 is an error that tells all.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?} ended with {}\n{}", output.status, shown(&output));
    String::from_utf8(output.stdout).context("not UTF-8")
}

/// What a program printed, for messages.
#[must_use]
pub fn shown(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
