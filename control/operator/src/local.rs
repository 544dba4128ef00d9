//! Looks after the registry of a data directory, whether a hub runs on it or not.

use std::path::Path;

use millrace_control_jobs::shape::{IdentityBody, record_of};
use millrace_control_store::registry::{Expected, IdentityName, Record, Status, Update, not_found};
use millrace_control_store::store::{Import, SqliteStore, Store};

use crate::error::OperatorError;
use crate::identity::{Device, Operator, Work};
use crate::import::{ImportReport, ImportRow, ImportRows, Problem};
use crate::limits::IMPORT_ROWS_PER_STEP;

/// Works on the registry file itself.
#[derive(Debug)]
pub struct LocalOperator(SqliteStore);

impl LocalOperator {
    /// Opens the registry in `data_dir`.
    ///
    /// # Errors
    /// When it cannot be opened; when it is not there and `create` does not allow to make it.
    pub async fn open(data_dir: &Path, create: bool) -> Result<Self, OperatorError> {
        if !create && !data_dir.join(SqliteStore::FILE_NAME).exists() {
            return Err(OperatorError::NoRegistry(data_dir.to_owned()));
        }
        Ok(Self(SqliteStore::open(data_dir).await?))
    }

    async fn create(&self, name: &IdentityName, body: IdentityBody) -> Result<Device, OperatorError> {
        let record = record_of(name.clone(), &body)?;
        Store::create(&self.0, &record).await?;
        Ok(device(&record))
    }

    async fn set_status(
        &self,
        name: &IdentityName,
        status: Status,
        reason: Option<String>,
    ) -> Result<Device, OperatorError> {
        let update = Update { status: Some(status), status_reason: Some(reason), ..Update::default() };
        Ok(device(&Store::update(&self.0, name, Expected::Any, update).await?))
    }

    async fn import(
        &self,
        mut rows: ImportRows<'_>,
        skip_bad: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ImportReport, OperatorError> {
        let mut report = ImportReport::default();
        let mut import = self.0.begin_import().await?;
        let mut step = Vec::with_capacity(IMPORT_ROWS_PER_STEP);
        loop {
            let ended = read_step(&mut rows, &mut step, &mut report)?;
            add(import.as_mut(), &mut step, &mut report).await?;
            progress(rows.line());
            if ended {
                break;
            }
            if skip_bad {
                // Shorter transactions let other writers in between.
                import.commit().await?;
                import = self.0.begin_import().await?;
            }
        }
        if report.bad == 0 || skip_bad {
            import.commit().await?;
        } else {
            report.created = 0;
        }
        Ok(report.sorted())
    }
}

impl Operator for LocalOperator {
    fn create<'a>(&'a self, name: &'a IdentityName, body: IdentityBody) -> Work<'a, Device> {
        Box::pin(self.create(name, body))
    }

    fn list<'a>(&'a self, after: Option<&'a str>, count: usize) -> Work<'a, Vec<Device>> {
        Box::pin(async move { Ok(Store::devices(&self.0, after, count).await?.iter().map(device).collect()) })
    }

    fn modules<'a>(&'a self, name: &'a IdentityName) -> Work<'a, Vec<Device>> {
        Box::pin(async move {
            Store::get(&self.0, name).await?.ok_or_else(|| not_found(name))?;
            Ok(Store::modules(&self.0, name.device_id()).await?.iter().map(device).collect())
        })
    }

    fn show<'a>(&'a self, name: &'a IdentityName) -> Work<'a, Device> {
        Box::pin(async move {
            let record = Store::get(&self.0, name).await?.ok_or_else(|| not_found(name))?;
            Ok(device(&record))
        })
    }

    fn set_status<'a>(&'a self, name: &'a IdentityName, status: Status, reason: Option<String>) -> Work<'a, Device> {
        Box::pin(self.set_status(name, status, reason))
    }

    fn delete<'a>(&'a self, name: &'a IdentityName) -> Work<'a, ()> {
        Box::pin(async move { Ok(Store::delete(&self.0, name, Expected::Any).await?) })
    }

    fn import<'a>(
        &'a self,
        rows: ImportRows<'a>,
        skip_bad: bool,
        progress: &'a mut dyn FnMut(u64),
    ) -> Work<'a, ImportReport> {
        Box::pin(self.import(rows, skip_bad, progress))
    }
}

fn device(record: &Record) -> Device {
    IdentityBody::from(record).into()
}

/// Fills `step`; whether that was the last one.
fn read_step(
    rows: &mut ImportRows<'_>,
    step: &mut Vec<ImportRow>,
    report: &mut ImportReport,
) -> Result<bool, OperatorError> {
    while step.len() < IMPORT_ROWS_PER_STEP {
        match rows.next_row()? {
            Some(Ok(row)) => step.push(row),
            Some(Err(bad)) => report.add_bad(bad.line, bad.problem),
            None => return Ok(true),
        }
    }
    Ok(false)
}

async fn add(
    import: &mut dyn Import,
    step: &mut Vec<ImportRow>,
    report: &mut ImportReport,
) -> Result<(), OperatorError> {
    let mut lines = Vec::with_capacity(step.len());
    let mut records = Vec::with_capacity(step.len());
    for row in step.drain(..) {
        lines.push(row.line);
        let body = row.body();
        records.push(record_of(row.name, &body)?);
    }
    let taken = import.add(&records).await?;
    let created = u64::try_from(records.len().saturating_sub(taken.len())).unwrap_or(u64::MAX);
    report.created = report.created.saturating_add(created);
    for line in taken.into_iter().filter_map(|position| lines.get(position)) {
        report.add_bad(*line, Problem::Exists);
    }
    Ok(())
}
