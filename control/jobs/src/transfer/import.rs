//! Imports: lines of a file, each an identity with what to do with it.
//! - Shape: blob, in pieces -> lines -> [`IMPORT_LINES_PER_STEP`] at a time through `bulk` -> place behind them and their errors, in one
//!   write -> at the end `importErrors.log` in the output container, a JSON object for each line that failed.
//! - Limits: files as configured, lines and logged errors as in `limits`. Memory: one piece of the file and one step.

use std::ops::Range;

use millrace_control_store::documents::{Collection, Precondition, Write};
use millrace_model::HubError;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt as _};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::container::Container;
use super::job::Progress;
use super::lines::{Line, Lines};
use super::run::{Held, Stop, error_page, errors_owner};
use crate::jobs::Jobs;
use crate::limits::{IMPORT_ERRORS_MAX, IMPORT_LINES_PER_STEP};
use crate::shape::{BulkError, BulkIdentity};
use crate::{bulk, documents, events};

/// Name of the log of what could not be imported.
const ERRORS_BLOB: &str = "importErrors.log";

/// Bytes of the file that are read at a time.
const PIECE_BYTES: u64 = 1024 * 1024;

/// Errors in one document.
const ERRORS_PER_PAGE: usize = IMPORT_LINES_PER_STEP;

impl Jobs {
    pub(super) async fn import(&self, held: &mut Held) -> Result<(), Stop> {
        let request = held.transfer.request().clone();
        let input = request.input.as_ref().ok_or_else(|| Stop::Impossible("there is no input container".to_owned()))?;
        let input = self.shared.containers.open(input).map_err(Stop::Impossible)?;
        let output = self.shared.containers.open(&request.output).map_err(Stop::Impossible)?;
        if request.with_configurations && held.transfer.progress().bytes == 0 {
            self.import_configurations(&input, &request.configurations_blob).await?;
        }
        let blob = input.blob(&request.input_blob);
        let size = self.size(&input, &blob).await?;
        let mut position = held.transfer.progress().bytes;
        let mut lines = Lines::new(position);
        let mut waiting: Vec<Line> = Vec::new();
        while position < size {
            let end = position.saturating_add(PIECE_BYTES).min(size);
            waiting.extend(lines.take(&piece(&input, &blob, position..end).await?));
            position = end;
            if position == size {
                waiting.extend(lines.finish());
            }
            while waiting.len() >= IMPORT_LINES_PER_STEP || (position == size && !waiting.is_empty()) {
                let step: Vec<Line> = waiting.drain(..waiting.len().min(IMPORT_LINES_PER_STEP)).collect();
                self.import_step(held, &step, size).await?;
            }
        }
        self.write_errors(held, &output).await
    }

    async fn size(&self, input: &Container, blob: &Path) -> Result<u64, Stop> {
        let found = input.store.head(blob).await.map_err(|error| failed("the input blob cannot be read", &error))?;
        let bytes_max = self.shared.settings.jobs.import_bytes_max;
        if found.size > bytes_max {
            return Err(Stop::Impossible(format!("the input blob has more than {bytes_max} bytes")));
        }
        Ok(found.size)
    }

    /// Carries out some lines, and writes that.
    async fn import_step(&self, held: &mut Held, lines: &[Line], size: u64) -> Result<(), Stop> {
        let (identities, mut errors) = read_lines(lines);
        errors.extend(bulk::apply(&self.shared.control, &identities).await?);
        events::transferred("import", identities.len());
        let before = held.transfer.progress();
        let bytes = lines.last().map_or(before.bytes, |line| line.end);
        let count = |number: usize| u64::try_from(number).unwrap_or_default();
        let is_logged = !errors.is_empty() && before.errors < IMPORT_ERRORS_MAX;
        let progress = Progress {
            percent: percent(bytes, size),
            bytes,
            identities: before.identities.saturating_add(count(identities.len())),
            errors: before.errors.saturating_add(count(errors.len())),
            error_pages: before.error_pages.saturating_add(u64::from(is_logged)),
        };
        let mut with = Vec::new();
        if is_logged {
            let page = error_page(held.transfer.id(), before.error_pages);
            with.push(Write::put(page, Precondition::Any, log_of(&errors)));
        }
        self.advance(held, progress, with).await
    }

    /// Writes the log, if anything failed.
    async fn write_errors(&self, held: &mut Held, output: &Container) -> Result<(), Stop> {
        if held.transfer.progress().errors == 0 {
            return Ok(());
        }
        let owner = errors_owner(held.transfer.id());
        let mut writer = BufWriter::new(output.store.clone(), output.blob(ERRORS_BLOB));
        let unwritten = |error: std::io::Error| failed_io("the log of errors cannot be written", &error);
        let mut after: Option<Box<str>> = None;
        loop {
            let control = &self.shared.control;
            let pages = documents::scan(control, Collection::State, &owner, after.as_deref(), ERRORS_PER_PAGE).await?;
            let Some(last) = pages.last() else { break };
            after = Some(last.key.name.clone());
            for page in &pages {
                writer.write_all(&page.body).await.map_err(unwritten)?;
            }
            let progress = held.transfer.progress();
            self.advance(held, progress, Vec::new()).await?;
        }
        writer.shutdown().await.map_err(unwritten)
    }

    /// Takes the configurations of a file. One that cannot be taken fails the import before it has changed any identity.
    async fn import_configurations(&self, input: &Container, name: &str) -> Result<(), Stop> {
        let blob = input.blob(name);
        let size = self.size(input, &blob).await?;
        if size > PIECE_BYTES.saturating_mul(32) {
            return Err(Stop::Impossible("the blob with the configurations is too large".to_owned()));
        }
        let text = piece(input, &blob, 0..size).await?;
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let refused = |why: String| Stop::Impossible(format!("a configuration cannot be imported: {why}"));
            let body: Value = serde_json::from_slice(line).map_err(|error| refused(error.to_string()))?;
            let id = body.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            self.import_configuration(&id, &body).await.map_err(|error| match error.status {
                400..=499 => refused(error.text.into_owned()),
                _ => Stop::Failed(error),
            })?;
        }
        Ok(())
    }
}

/// The identities of some lines, and what is wrong with the others. Empty lines mean nothing.
fn read_lines(lines: &[Line]) -> (Vec<BulkIdentity>, Vec<BulkError>) {
    let (mut identities, mut errors) = (Vec::with_capacity(lines.len()), Vec::new());
    for line in lines {
        match &line.text {
            Some(text) if text.trim_ascii().is_empty() => {}
            Some(text) => match serde_json::from_slice::<BulkIdentity>(text) {
                Ok(identity) => identities.push(identity),
                Err(_) => errors.push(BulkIdentity::default().failed(&HubError::FORMAT)),
            },
            None => errors.push(BulkIdentity::default().failed(&HubError::TOO_LARGE)),
        }
    }
    (identities, errors)
}

fn log_of(errors: &[BulkError]) -> Vec<u8> {
    let mut log = Vec::new();
    for error in errors {
        // There is nothing in it that cannot be written.
        log.extend(serde_json::to_vec(error).unwrap_or_default());
        log.push(b'\n');
    }
    log
}

async fn piece(input: &Container, blob: &Path, range: Range<u64>) -> Result<Vec<u8>, Stop> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = input.store.get_range(blob, range).await;
    Ok(bytes.map_err(|error| failed("the input blob cannot be read", &error))?.to_vec())
}

fn percent(bytes: u64, size: u64) -> u8 {
    let hundredths = bytes.saturating_mul(100).checked_div(size).unwrap_or(100);
    // Done is done only with the log.
    u8::try_from(hundredths.min(99)).unwrap_or(99)
}

/// Why a container cannot be used. Its own text is not repeated: it may hold the address.
pub(super) fn failed(what: &str, error: &StoreError) -> Stop {
    let why = match error {
        StoreError::NotFound { .. } => "it is not there",
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => "permission is denied",
        _ => "the container does not answer as it should",
    };
    Stop::Impossible(format!("{what}: {why}"))
}

pub(super) fn failed_io(what: &str, error: &std::io::Error) -> Stop {
    Stop::Impossible(format!("{what}: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_lines_are_told_and_good_ones_kept() {
        let line = |text: Option<&str>| Line { text: text.map(|text| text.as_bytes().to_vec()), end: 0 };
        let lines = [
            line(Some(r#"{"id":"a","importMode":"create"}"#)),
            line(Some("")),
            line(Some("\r")),
            line(Some("{not json")),
            line(Some(r#"{"id":"b","importMode":"explode"}"#)),
            line(None),
        ];
        let (identities, errors) = read_lines(&lines);
        assert_eq!(identities.iter().map(|identity| identity.id.as_str()).collect::<Vec<_>>(), ["a"]);
        let codes: Vec<_> = errors.iter().map(|error| error.error_code).collect();
        assert_eq!(codes, [400_006, 400_006, 413_001]);
        assert_eq!(log_of(&errors).iter().filter(|&&byte| byte == b'\n').count(), 3);
    }

    #[test]
    fn it_is_never_done_before_its_end() {
        assert_eq!((percent(0, 10), percent(5, 10), percent(10, 10), percent(0, 0)), (0, 50, 99, 99));
    }
}
