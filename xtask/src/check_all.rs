//! Everything that CI runs, in the order in which mistakes are found cheapest.

use std::process::Command;
use std::time::Instant;

use crate::process::{cargo, root, run, say};
use crate::{layers, prose};

pub(crate) fn run_all() -> anyhow::Result<()> {
    let start = Instant::now();
    step("format", start, || run(&mut with(&["fmt", "--all", "--check"])))?;
    step("layers", start, layers::check)?;
    step("prose", start, prose::check)?;
    step("lints", start, || run(&mut with(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])))?;
    // End-to-end tests start the programs, which cargo does not build for another crate's tests.
    step("programs", start, || run(&mut with(&["build", "--workspace", "--bins"])))?;
    step("deploy", start, || run(Command::new("python3").arg("deploy/check.py").current_dir(root())))?;
    step("tests", start, || run(&mut with(&["test", "--workspace", "--no-fail-fast"])))?;
    step("benches", start, || run(&mut with(&["test", "--package", "millrace-benches", "--benches"])))?;
    step("docs", start, || {
        run(with(&["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links"))
    })?;
    step("licences", start, licences)?;
    say(format_args!("\nall checks passed in {} s", start.elapsed().as_secs()));
    Ok(())
}

fn with(arguments: &[&str]) -> Command {
    let mut command = cargo();
    command.args(arguments);
    command
}

fn step(name: &str, start: Instant, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    say(format_args!("\n=== {name} (after {} s)", start.elapsed().as_secs()));
    work()
}

/// cargo-deny where it is installed. Its list of advisories comes over the network, so only the local checks count here.
fn licences() -> anyhow::Result<()> {
    let is_there = Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success());
    if is_there {
        return run(&mut with(&["deny", "check", "licenses", "bans", "sources"]));
    }
    say("cargo-deny is not installed: skipped (cargo install --locked cargo-deny)");
    Ok(())
}
