//! What it costs to judge, to refuse and to serve devices that ask: `cargo run --release --example polls`.
//! - Shape: one service over SQLite in a temporary directory, asked in the process itself, without HTTP.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use millrace_control_provisioning::enrollment::{Enrollment, InitialTwin};
use millrace_control_provisioning::enrollments::Expected;
use millrace_control_provisioning::hub::PendingHub;
use millrace_control_provisioning::registration::RegistrationStatus;
use millrace_control_provisioning::{
    CertificateBook, DeviceSpec, HubRegistry, Provisioner, ProvisioningConfig, Surroundings,
};
use millrace_control_store::clock;
use millrace_control_store::store::SqliteStore;
use millrace_model::door::{Doors, Full, Registrant, SessionKey, ToDevice};
use millrace_protocols_identity::{Key, sas};

/// A hub that takes everything, doors that nobody stands behind, and no authorities.
struct Nothing;

impl HubRegistry for Nothing {
    fn put_device<'a>(&'a self, _: &'a DeviceSpec) -> PendingHub<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn twin<'a>(&'a self, _: &'a str) -> PendingHub<'a, Option<InitialTwin>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn replace_twin<'a>(&'a self, _: &'a str, _: &'a InitialTwin) -> PendingHub<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn delete_device<'a>(&'a self, _: &'a str) -> PendingHub<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Doors for Nothing {
    fn tell(&self, _: SessionKey, _: ToDevice) -> Result<(), Full> {
        Ok(())
    }
}

impl CertificateBook for Nothing {
    fn verified_certificate(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn revocation_lists(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn revision(&self) -> u64 {
        0
    }
}

const SCOPE: &str = "0neFIGURES";
const POLLS: u32 = 100_000;
const DEVICES: u32 = 2_000;
const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

fn registrant(id: &str, key: &Key) -> Result<Registrant, std::num::TryFromIntError> {
    let expiry = u64::try_from(clock::now().unix_seconds())? + 3_600;
    let token = sas::sign(&format!("{SCOPE}/registrations/{id}"), key, expiry, Some("registration"));
    let (id_scope, registration_id) = (SCOPE.into(), id.into());
    Ok(Registrant { id_scope, registration_id, token: Some(token.into()), certificates: Arc::new([]) })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let config = ProvisioningConfig {
        id_scope: Some(SCOPE.to_owned()),
        registrations_per_minute: 1_000_000,
        ..ProvisioningConfig::default()
    };
    let surroundings = Surroundings {
        documents: Arc::new(SqliteStore::open(dir.path()).await?),
        doors: Arc::new(Nothing),
        book: Arc::new(Nothing),
        host_name: "hub.example.net".to_owned(),
        registry: Arc::new(Nothing),
    };
    let service = Provisioner::start(config, surroundings).await?;
    let key = Key::from_base64(KEY)?;
    let mut out = std::io::stdout().lock();

    let mut devices = Vec::new();
    for number in 0..DEVICES {
        let id = format!("device-{number}");
        let body = format!(
            r#"{{"registrationId":"{id}","attestation":{{"type":"symmetricKey","symmetricKey":{{"primaryKey":"{KEY}"}}}}}}"#
        );
        service.enrollments().put(serde_json::from_str::<Enrollment>(&body)?, &Expected::Absent).await?;
        devices.push(registrant(&id, &key)?);
    }

    let loud = devices.first().ok_or("no device")?;
    let (start, mut throttled) = (Instant::now(), 0);
    for _ in 0..POLLS {
        let refused = service.state(loud).await.err();
        throttled += u32::from(refused.is_some_and(|refused| refused.error.status == 429));
    }
    let each = start.elapsed() / POLLS;
    writeln!(out, "{POLLS} polls of one registration: {each:?} each, {throttled} told to come later")?;

    let forged = registrant("device-1", &Key::decoy())?;
    let start = Instant::now();
    for _ in 0..POLLS {
        drop(service.state(&forged).await);
    }
    writeln!(out, "{POLLS} polls with one forged token: {:?} each", start.elapsed() / POLLS)?;

    let start = Instant::now();
    for device in &devices {
        service.attest(device).await.map_err(|refused| refused.error)?;
    }
    writeln!(out, "{DEVICES} devices judged for the first time: {:?} each", start.elapsed() / DEVICES)?;

    let start = Instant::now();
    for device in &devices {
        service.register(device, b"{}").await.map_err(|refused| refused.error)?;
    }
    let begun = start.elapsed();
    for device in &devices {
        let status = async || {
            service
                .find_registration(&device.registration_id)
                .await
                .map(|found| found.map(|found| found.registration.status))
        };
        while status().await.map_err(|refused| refused.error)? != Some(RegistrationStatus::Assigned) {
            tokio::task::yield_now().await;
        }
    }
    writeln!(out, "{DEVICES} registrations one after the other: {:?} each until answered", begun / DEVICES)?;
    writeln!(out, "all assigned after {:?}", start.elapsed())?;
    service.shutdown().await;
    Ok(())
}
