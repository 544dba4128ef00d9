//! What the program writes for people and scripts: results to standard output, complaints to standard error.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or the configuration is wrong: exit code 2.
    Usage(anyhow::Error),
    /// It was tried and failed: exit code 1.
    Failed(anyhow::Error),
}

impl Failure {
    pub(crate) fn usage(message: impl Display + Send + Sync + std::fmt::Debug + 'static) -> Self {
        Self::Usage(anyhow::Error::msg(message))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Writes one result to standard output. A reader that has gone away ends the program quietly, as in a pipe to `head`.
pub(crate) fn line(text: impl Display) {
    if writeln!(io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Writes a remark to standard error.
pub(crate) fn remark(text: impl Display) {
    // Nothing can be done for a standard error that is closed.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Writes why the command failed, with all causes.
pub(crate) fn complain(failure: &Failure) {
    let (Failure::Usage(error) | Failure::Failed(error)) = failure;
    remark(format_args!("error: {error:#}"));
}
