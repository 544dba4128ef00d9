//! `millrace job import` and `export`

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::OperatorError;
use crate::service::Audience;
use crate::target::{Secret, Target};

/// How long `--wait` waits: importing ten million identities takes less.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// `millrace job import`
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// URI of the container with the file, and with the permission to read from it and to write to it.
    #[arg(value_name = "CONTAINER")]
    pub container: Secret,
    /// URI of the container for the file of errors; if left out, the same one.
    #[arg(long, value_name = "CONTAINER")]
    pub errors: Option<Secret>,
    /// Name of the file.
    #[arg(long, value_name = "NAME", default_value = "devices.txt")]
    pub blob: String,
    /// Wait until the job has ended; exit code 1 if it did not complete.
    #[arg(long)]
    pub wait: bool,
}

/// `millrace job export`
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// URI of the container for the file, with the permission to write to it.
    #[arg(value_name = "CONTAINER")]
    pub container: Secret,
    /// Name of the file.
    #[arg(long, value_name = "NAME", default_value = "devices.txt")]
    pub blob: String,
    /// Leave the keys out.
    #[arg(long)]
    pub exclude_keys: bool,
    /// Wait until the job has ended; exit code 1 if it did not complete.
    #[arg(long)]
    pub wait: bool,
}

pub(super) async fn import(
    job: &ImportArguments,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let body = json!({
        "type": "import",
        "inputBlobContainerUri": job.container.expose(),
        "inputBlobName": job.blob,
        "outputBlobContainerUri": job.errors.as_ref().unwrap_or(&job.container).expose(),
        "storageAuthenticationType": "keyBased",
    });
    create(&body, job.wait, target, context).await
}

pub(super) async fn export(
    job: &ExportArguments,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let body = json!({
        "type": "export",
        "outputBlobContainerUri": job.container.expose(),
        "outputBlobName": job.blob,
        "excludeKeysInExport": job.exclude_keys,
        "storageAuthenticationType": "keyBased",
    });
    create(&body, job.wait, target, context).await
}

async fn create(body: &Value, wait: bool, target: &Target, context: &mut Context<'_>) -> Result<(), OperatorError> {
    let client = target.client(context, Audience::Hub)?;
    let job = client.post("/jobs/create").json(body).send(&[200, 201]).await?.json()?;
    super::begun(&client, job, wait.then_some(PATIENCE), context).await
}
