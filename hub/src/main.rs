//! The program `millrace`: command line, configuration and wiring of the parts.
//! - Shape: [`cli`] says what can be asked, `commands/*` answer it, `serve/*` runs the hub.
//! - Errors: exit code 0 done, 1 failed, 2 wrong usage or configuration. Results go to standard output, all else to standard error.

mod cli;
mod commands;
mod config;
mod output;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;

use crate::output::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // The only provider in the program; a second installation cannot happen here, and would change nothing.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let result = match cli.command {
        cli::Command::Serve(arguments) => serve::run(&arguments),
        cli::Command::Operator(command) => commands::operator::run(command),
        cli::Command::Route(arguments) => commands::route::run(&arguments),
        cli::Command::Config(arguments) => commands::config::run(&arguments),
        cli::Command::Journal(arguments) => commands::journal::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            match failure {
                Failure::Usage(_) => ExitCode::from(2),
                Failure::Failed(_) => ExitCode::FAILURE,
            }
        }
    }
}
