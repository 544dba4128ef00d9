//! What a command needs from the program around it, and what it gives back.

use std::io::{self, BufRead};

use millrace_protocols_identity::ConnectionString;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::error::OperatorError;
use crate::import::ImportReport;
use crate::table::Rows;

/// What a command needs from the program around it.
pub struct Context<'a> {
    /// Value of the environment variable MILLRACE_CONNECTION_STRING.
    pub service: Option<&'a str>,
    /// Standard input, for arguments that are `-` or `@-`.
    pub input: &'a mut dyn BufRead,
    /// Told how many lines of an import have been read.
    pub progress: &'a mut dyn FnMut(u64),
    /// Shows results, as soon as they are there; some commands have many.
    pub show: &'a mut dyn FnMut(Outcome) -> io::Result<()>,
}

/// What a command has to show.
#[derive(Debug)]
pub enum Outcome {
    /// A connection string: print it and nothing else.
    ConnectionString(ConnectionString),
    /// A key: likewise.
    Secret(Zeroizing<String>),
    /// JSON that is shown as it is.
    Document(Value),
    /// Rows of a table.
    Rows(Rows),
    /// Something is done and there is nothing to show.
    Done(String),
    /// An import is over. With bad lines and without `--skip-bad` nothing was created, and the program should exit with 1.
    Imported(ImportReport),
}

impl Context<'_> {
    /// Shows a result.
    pub(crate) fn show(&mut self, outcome: Outcome) -> Result<(), OperatorError> {
        (self.show)(outcome).map_err(OperatorError::Output)
    }

    /// Shows that something is done.
    pub(crate) fn done(&mut self, text: String) -> Result<(), OperatorError> {
        self.show(Outcome::Done(text))
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}
