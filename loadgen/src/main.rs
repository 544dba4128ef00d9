//! The program `loadgen`.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrace_loadgen::command_line()
}
