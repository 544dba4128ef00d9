//! Chores of the workspace: `cargo demo`, `cargo check-all` and the checks that no tool of the shelf does.
//! - Shape: one file per chore; each prints what it runs, so that it can be run by hand.
//! - Errors: the first step that fails ends the chore with exit code 1 and its name.

mod check_all;
mod demo;
mod layers;
mod process;
mod prose;
mod signals;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  demo        build in release, run hub and fleet on embedded defaults for a minute, show what came of it (also: cargo demo)
  check-all   everything that CI runs: format, lints, layers, tests, benches, docs, licences (also: cargo check-all)
  layers      compare the dependencies between crates with the order in which Cargo.toml lists them
  prose       paths named in ARCHITECTURE.md exist; no file is over its size; nothing is left open";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let result = match command.as_deref() {
        Some("demo") => demo::run_all(),
        Some("check-all") => check_all::run_all(),
        Some("layers") => layers::check(),
        Some("prose") => prose::check(),
        Some("--help" | "help") => {
            process::say(USAGE);
            Ok(())
        }
        _ => {
            process::say(USAGE);
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
