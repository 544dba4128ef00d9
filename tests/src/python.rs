//! A Python virtual environment with the clients and readers that tests use.
//! - Shape: `$MILLRACE_CACHE/venv` (else `~/.cache/millrace/venv`), filled from `python/requirements.txt` once per change of it.
//! - Invariants: a lock file keeps test programs that run at the same time from filling it twice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The `python` executable of the environment.
///
/// # Errors
/// When Python 3 with `venv` is missing, or a package cannot be installed.
pub fn venv() -> anyhow::Result<PathBuf> {
    let cache = cache()?;
    fs::create_dir_all(&cache)?;
    let lock = File::create(cache.join("venv.lock"))?;
    lock.lock()?;
    let folder = cache.join("venv");
    let python = folder.join("bin/python");
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/requirements.txt");
    let wanted = fs::read_to_string(&requirements)?;
    let installed = folder.join("requirements.txt");
    if fs::read_to_string(&installed).ok().as_deref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&requirements))?;
        fs::write(&installed, wanted)?;
    }
    Ok(python)
}

/// A script of `python/`.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    if let Some(cache) = std::env::var_os("MILLRACE_CACHE") {
        return Ok(cache.into());
    }
    let home = std::env::var_os("HOME").context("neither MILLRACE_CACHE nor HOME is set")?;
    Ok(Path::new(&home).join(".cache/millrace"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
