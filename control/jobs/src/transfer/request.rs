//! What an import or export is asked to do.
//! - Shape: JobProperties: `{type, inputBlobContainerUri, outputBlobContainerUri, inputBlobName?, outputBlobName?, excludeKeysInExport?,
//!   includeConfigurations?, configurationsBlobName?, ..}`
//! - Invariants: addresses of containers carry signatures: no `Debug` shows them, and answers show them without.
//! - Errors: [`JobError`], naming the member.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::JobError;
use crate::limits::BLOB_NAME_CHARACTERS_MAX;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferKind {
    /// Into a file.
    Export,
    /// Out of a file.
    Import,
}

/// Address of a container, with a signature behind the question mark.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerAddress(pub(super) String);

/// An import or export as it is asked for, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRequest {
    /// Which way.
    pub kind: TransferKind,
    /// Where an import reads.
    pub input: Option<ContainerAddress>,
    /// Which blob there.
    pub input_blob: String,
    /// Where an export writes, and an import what it could not do.
    pub output: ContainerAddress,
    /// Which blob there.
    pub output_blob: String,
    /// Leave the keys out.
    pub without_keys: bool,
    /// Configurations too.
    pub with_configurations: bool,
    /// In which blob those are.
    pub configurations_blob: String,
}

impl ContainerAddress {
    /// Without the signature.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.0.split(['?', '#']).next().unwrap_or_default()
    }
}

impl fmt::Debug for ContainerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl TransferKind {
    /// As in requests and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Import => "import",
        }
    }
}

impl TransferRequest {
    /// Reads what is asked for.
    ///
    /// # Errors
    /// When a member is missing or cannot be what it is.
    pub fn parse(body: &Value) -> Result<Self, JobError> {
        let Value::Object(body) = body else { return Err(JobError::Format("a job is an object".to_owned())) };
        let kind = match text(body, "type")?.unwrap_or_default().to_ascii_lowercase().as_str() {
            "export" => TransferKind::Export,
            "import" => TransferKind::Import,
            _ => return Err(JobError::member("type", "is one of export and import")),
        };
        let input = address(body, "inputBlobContainerUri")?;
        if kind == TransferKind::Import && input.is_none() {
            return Err(JobError::member("inputBlobContainerUri", "is missing"));
        }
        let output = address(body, "outputBlobContainerUri")?;
        Ok(Self {
            kind,
            input,
            input_blob: blob_name(body, "inputBlobName", "devices.txt")?,
            output: output.ok_or_else(|| JobError::member("outputBlobContainerUri", "is missing"))?,
            output_blob: blob_name(body, "outputBlobName", "devices.txt")?,
            without_keys: flag(body, "excludeKeysInExport")?,
            with_configurations: flag(body, "includeConfigurations")?,
            configurations_blob: blob_name(body, "configurationsBlobName", "configurations.txt")?,
        })
    }
}

fn address(body: &Map<String, Value>, member: &str) -> Result<Option<ContainerAddress>, JobError> {
    let Some(text) = text(body, member)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > 4 * BLOB_NAME_CHARACTERS_MAX || text.chars().any(char::is_control) {
        return Err(JobError::member(member, "is not the address of a container"));
    }
    Ok(Some(ContainerAddress(text.to_owned())))
}

/// A name that stays inside of its container.
fn blob_name(body: &Map<String, Value>, member: &str, usual: &str) -> Result<String, JobError> {
    let name = text(body, member)?.filter(|name| !name.is_empty()).unwrap_or(usual);
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_good = name.chars().count() <= BLOB_NAME_CHARACTERS_MAX
        && !name.chars().any(|character| character.is_control() || character == '\\')
        && name.split('/').all(is_part);
    if is_good { Ok(name.to_owned()) } else { Err(JobError::member(member, "is not the name of a blob")) }
}

fn text<'a>(body: &'a Map<String, Value>, member: &str) -> Result<Option<&'a str>, JobError> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JobError::member(member, "is not a text")),
    }
}

fn flag(body: &Map<String, Value>, member: &str) -> Result<bool, JobError> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(JobError::member(member, "is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_are_read_as_sdks_write_them() {
        let export = json!({"type": "export", "outputBlobContainerUri": "https://a.blob.core.windows.net/c?sig=secret",
            "excludeKeysInExport": true, "storageAuthenticationType": "keyBased"});
        let export = TransferRequest::parse(&export).unwrap();
        assert_eq!(
            (export.kind, export.output_blob.as_str(), export.without_keys),
            (TransferKind::Export, "devices.txt", true)
        );
        assert_eq!(export.output.shown(), "https://a.blob.core.windows.net/c");
        assert!(!format!("{export:?}").contains("secret"));
        let import = json!({"type": "import", "inputBlobContainerUri": "in", "outputBlobContainerUri": "out", "inputBlobName": "a/b.txt"});
        assert_eq!(TransferRequest::parse(&import).unwrap().input_blob, "a/b.txt");
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for body in [
            json!([]),
            json!({"type": "export"}),
            json!({"type": "move", "outputBlobContainerUri": "c"}),
            json!({"type": "import", "outputBlobContainerUri": "c"}),
            json!({"type": "export", "outputBlobContainerUri": "c\n"}),
            json!({"type": "export", "outputBlobContainerUri": "c", "outputBlobName": "../x"}),
            json!({"type": "export", "outputBlobContainerUri": "c", "outputBlobName": "/x"}),
            json!({"type": "export", "outputBlobContainerUri": "c", "outputBlobName": "a\\b"}),
            json!({"type": "export", "outputBlobContainerUri": "c", "excludeKeysInExport": "yes"}),
        ] {
            assert!(TransferRequest::parse(&body).is_err(), "{body}");
        }
    }
}
