//! Arguments that carry content: text or JSON on the command line, in a file (`@FILE`) or on standard input (`@-`).
//! - Limits: [`INPUT_BYTES_MAX`].

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::OperatorError;
use crate::limits::INPUT_BYTES_MAX;

impl Context<'_> {
    /// What an argument stands for: itself, or what is in the file that it names behind an `@`.
    pub(crate) fn content(&mut self, argument: &str) -> Result<Vec<u8>, OperatorError> {
        match argument.strip_prefix('@') {
            Some(path) => self.file(Path::new(path)),
            None => Ok(argument.as_bytes().to_vec()),
        }
    }

    /// What is in a file; `-` is standard input.
    pub(crate) fn file(&mut self, path: &Path) -> Result<Vec<u8>, OperatorError> {
        let failed = |source| OperatorError::File { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let mut read = |input: &mut dyn Read| input.take(INPUT_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes);
        if path == Path::new("-") {
            read(&mut self.input).map_err(failed)?;
        } else {
            read(&mut File::open(path).map_err(failed)?).map_err(failed)?;
        }
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= INPUT_BYTES_MAX) {
            Ok(bytes)
        } else {
            Err(OperatorError::usage(format!("{} is larger than {INPUT_BYTES_MAX} bytes", path.display())))
        }
    }

    /// What is in a text file.
    pub(crate) fn text_file(&mut self, path: &Path) -> Result<String, OperatorError> {
        let text = String::from_utf8(self.file(path)?);
        text.map_err(|_| OperatorError::usage(format!("{} is not a text file in UTF-8", path.display())))
    }

    /// The JSON that an argument stands for; `option` names it in complaints.
    pub(crate) fn json(&mut self, option: &str, argument: &str) -> Result<Value, OperatorError> {
        let bytes = self.content(argument)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            OperatorError::usage(format!("{option} is not JSON (line {}, column {})", error.line(), error.column()))
        })
    }

    /// Likewise a JSON object.
    pub(crate) fn json_object(&mut self, option: &str, argument: &str) -> Result<Map<String, Value>, OperatorError> {
        match self.json(option, argument)? {
            Value::Object(members) => Ok(members),
            _ => Err(OperatorError::usage(format!("{option} is not a JSON object"))),
        }
    }
}

/// A pair of the form `KEY=VALUE`, as clap reads it.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "KEY=VALUE is needed".to_owned())
}
