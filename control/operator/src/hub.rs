//! Looks after the identities of a running hub through its REST API.
//! - Errors: an import is checked as a whole before anything is sent, but what the hub refuses of it (a device that exists)
//!   shows on the way: the hundreds before stay. An import into a data directory is all or nothing.

use millrace_control_jobs::shape::{BulkIdentity, BulkResult, IdentityBody, ImportMode};
use millrace_control_store::limits::PAGE_IDENTITIES_MAX;
use millrace_control_store::registry::{IdentityName, Status};

use crate::error::OperatorError;
use crate::identity::{Device, Operator, Work, body_of};
use crate::import::{ImportReport, ImportRow, ImportRows, Problem};
use crate::limits::{BULK_IDENTITIES_MAX, IMPORT_ROWS_HELD_MAX};
use crate::service::{Answer, ServiceClient, path};

/// Works through a hub's REST API.
#[derive(Debug)]
pub struct HubOperator(ServiceClient);

impl HubOperator {
    /// Will work through that client.
    #[must_use]
    pub fn new(client: ServiceClient) -> Self {
        Self(client)
    }

    async fn list(&self, after: Option<&str>, count: usize) -> Result<Vec<Device>, OperatorError> {
        let count = count.clamp(1, PAGE_IDENTITIES_MAX).to_string();
        devices(&self.0.get("/devices").parameter("top", &count).continued(after).send(&[200]).await?)
    }

    async fn set_status(
        &self,
        name: &IdentityName,
        status: Status,
        reason: Option<String>,
    ) -> Result<Device, OperatorError> {
        let body = IdentityBody {
            status: Some(status.into()),
            status_reason: Some(reason.unwrap_or_default()),
            ..body_of(name)
        };
        device(&self.0.put(&path_of(name)?).if_match("*").json(&body).send(&[200]).await?)
    }

    async fn import(
        &self,
        mut rows: ImportRows<'_>,
        skip_bad: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ImportReport, OperatorError> {
        let mut report = ImportReport::default();
        let mut good = Vec::new();
        while let Some(row) = rows.next_row()? {
            match row {
                Ok(row) => good.push(row),
                Err(bad) => report.add_bad(bad.line, bad.problem),
            }
            if good.len() > IMPORT_ROWS_HELD_MAX {
                return Err(OperatorError::usage("through a hub an import has at most 1,000,000 lines"));
            }
        }
        for hundred in good.chunks(BULK_IDENTITIES_MAX) {
            if report.bad > 0 && !skip_bad {
                break;
            }
            self.import_some(hundred, &mut report).await?;
            progress(hundred.last().map_or(0, |row| row.line));
        }
        Ok(report.sorted())
    }

    async fn import_some(&self, rows: &[ImportRow], report: &mut ImportReport) -> Result<(), OperatorError> {
        let identity = |row: &ImportRow| BulkIdentity {
            id: row.name.device_id().to_owned(),
            import_mode: ImportMode::Create,
            body: row.body(),
            ..BulkIdentity::default()
        };
        let identities: Vec<BulkIdentity> = rows.iter().map(identity).collect();
        let answer = self.0.post("/devices").json(&identities).send(&[200, 400]).await?;
        // A request that was refused as a whole has the body of an error instead.
        let result: BulkResult = answer.json().map_err(|_| match answer.status() {
            200 => OperatorError::Answer,
            _ => answer.refusal(),
        })?;
        let created = rows.len().saturating_sub(result.errors.len());
        report.created = report.created.saturating_add(u64::try_from(created).unwrap_or(u64::MAX));
        let mut blamed = vec![false; rows.len()];
        for error in result.errors {
            let problem = if error.error_code == 409_001 { Problem::Exists } else { Problem::Refused };
            // Of equal ids the first one went in: blame from the end.
            let is_it = |(row, blamed): &(&ImportRow, &mut bool)| row.name.device_id() == error.device_id && !**blamed;
            let found = rows.iter().zip(blamed.iter_mut()).rev().find(is_it);
            let (row, blamed) = found.ok_or(OperatorError::Answer)?;
            *blamed = true;
            report.add_bad(row.line, problem);
        }
        Ok(())
    }
}

impl Operator for HubOperator {
    fn create<'a>(&'a self, name: &'a IdentityName, body: IdentityBody) -> Work<'a, Device> {
        Box::pin(async move { device(&self.0.put(&path_of(name)?).json(&body).send(&[200, 201]).await?) })
    }

    fn list<'a>(&'a self, after: Option<&'a str>, count: usize) -> Work<'a, Vec<Device>> {
        Box::pin(self.list(after, count))
    }

    fn modules<'a>(&'a self, device: &'a IdentityName) -> Work<'a, Vec<Device>> {
        Box::pin(async move {
            let modules = path(&["devices", device.device_id(), "modules"])?;
            devices(&self.0.get(&modules).send(&[200]).await?)
        })
    }

    fn show<'a>(&'a self, name: &'a IdentityName) -> Work<'a, Device> {
        Box::pin(async move { device(&self.0.get(&path_of(name)?).send(&[200]).await?) })
    }

    fn set_status<'a>(&'a self, name: &'a IdentityName, status: Status, reason: Option<String>) -> Work<'a, Device> {
        Box::pin(self.set_status(name, status, reason))
    }

    fn delete<'a>(&'a self, name: &'a IdentityName) -> Work<'a, ()> {
        Box::pin(async move { self.0.delete(&path_of(name)?).if_match("*").send(&[200, 204]).await.map(drop) })
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

fn device(answer: &Answer) -> Result<Device, OperatorError> {
    answer.json::<IdentityBody>().map(Device::from)
}

fn devices(answer: &Answer) -> Result<Vec<Device>, OperatorError> {
    Ok(answer.json::<Vec<IdentityBody>>()?.into_iter().map(Device::from).collect())
}

fn path_of(name: &IdentityName) -> Result<String, OperatorError> {
    match name.module_id() {
        Some(module) => path(&["devices", name.device_id(), "modules", module]),
        None => path(&["devices", name.device_id()]),
    }
}
