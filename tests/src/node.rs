//! The Node packages that tests use.
//! - Shape: `$MILLRACE_CACHE/node` (else `~/.cache/millrace/node`), filled from `node/package-lock.json` once per change of it.
//! - Invariants: a lock file keeps test programs that run at the same time from filling it twice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::python::cache;

/// A command that runs a script of `node/` with the packages.
///
/// # Errors
/// When Node with npm is missing, or a package cannot be installed.
pub fn node(script: &str) -> anyhow::Result<Command> {
    let modules = modules()?;
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("node").join(script)).env("NODE_PATH", modules);
    Ok(command)
}

fn modules() -> anyhow::Result<PathBuf> {
    let cache = cache()?;
    let folder = cache.join("node");
    fs::create_dir_all(&folder)?;
    let lock = File::create(cache.join("node.lock"))?;
    lock.lock()?;
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    let wanted = fs::read_to_string(own.join("package-lock.json"))?;
    let installed = folder.join("installed.json");
    if fs::read_to_string(&installed).ok().as_deref() != Some(&wanted) {
        provide("npm", "npm")?;
        for name in ["package.json", "package-lock.json"] {
            fs::copy(own.join(name), folder.join(name))?;
        }
        let mut npm = Command::new("npm");
        run(npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))?;
        fs::write(&installed, wanted)?;
    }
    Ok(folder.join("node_modules"))
}

/// Installs Debian's package where a program is missing and that can be done without asking.
fn provide(program: &str, package: &str) -> anyhow::Result<()> {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !is_there(program) {
        // Where this does not work, the message below says what to do.
        drop(Command::new("apt-get").args(["install", "-y", "-qq", "--no-install-recommends", package]).status());
    }
    ensure!(is_there(program), "{program} is missing; on Debian: apt-get install {package}");
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
