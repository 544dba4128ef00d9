//! What a new enrollment says: how its devices prove themselves, and what becomes of them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use millrace_protocols_identity::Key;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::error::OperatorError;
use crate::target::Secret;

/// What an enrollment of one device says.
#[derive(Debug, Args)]
pub struct EnrollmentArguments {
    /// Id that the device gets at its hub; the registration id if left out.
    #[arg(long, value_name = "ID")]
    pub device_id: Option<String>,
    /// It proves itself with its TPM, whose endorsement key this is (base64).
    #[arg(long, value_name = "BASE64", conflicts_with_all = ["key", "secondary_key", "x509_certificate", "x509_ca"])]
    pub tpm_endorsement_key: Option<String>,
    /// How it proves itself otherwise.
    #[command(flatten)]
    pub attestation: AttestationArguments,
    /// What becomes of it.
    #[command(flatten)]
    pub terms: TermsArguments,
}

/// Keys or certificates by which devices prove themselves; without any, new keys are made.
#[derive(Debug, Args)]
pub struct AttestationArguments {
    /// Primary key, base64 of 16 to 64 bytes.
    #[arg(long, value_name = "BASE64", conflicts_with_all = ["x509_certificate", "x509_ca"])]
    pub key: Option<Secret>,
    /// Secondary key.
    #[arg(long, value_name = "BASE64", requires = "key")]
    pub secondary_key: Option<Secret>,
    /// Certificate, PEM: the device's own or, for a group, that of the authority; give it twice for the one that comes next.
    #[arg(long, value_name = "FILE", conflicts_with = "x509_ca", num_args = 1)]
    pub x509_certificate: Vec<PathBuf>,
    /// Name of an authority's certificate at the hub; give it twice for the one that comes next.
    #[arg(long, value_name = "NAME", num_args = 1)]
    pub x509_ca: Vec<String>,
}

/// What becomes of devices that register.
#[derive(Debug, Args)]
pub struct TermsArguments {
    /// First tags of the twin: a JSON object, @FILE or @-.
    #[arg(long, value_name = "JSON")]
    pub tags: Option<String>,
    /// First desired properties of the twin: likewise.
    #[arg(long, value_name = "JSON")]
    pub desired: Option<String>,
    /// How a hub is chosen.
    #[arg(long, value_name = "POLICY")]
    pub allocation: Option<Allocation>,
    /// Hub of the static policy.
    #[arg(long, value_name = "NAME")]
    pub hub_host: Option<String>,
    /// Hubs to choose among; all linked ones if left out. May be given several times.
    #[arg(long, value_name = "NAME", num_args = 1)]
    pub among: Vec<String>,
    /// Who chooses under the custom policy.
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// What happens when a device registers again.
    #[arg(long, value_name = "POLICY")]
    pub reprovision: Option<Reprovision>,
    /// Devices are IoT Edge gateways.
    #[arg(long)]
    pub edge_enabled: bool,
    /// Nobody may register yet.
    #[arg(long)]
    pub disabled: bool,
}

/// How a hub is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Allocation {
    /// A webhook says which.
    Custom,
    /// The one that is reached in the shortest time.
    GeoLatency,
    /// Evenly.
    Hashed,
    /// The one named by --hub-host.
    Static,
}

/// What happens when a device registers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reprovision {
    /// Its hub is chosen anew and its twin comes along.
    Migrate,
    /// It stays where it is.
    Never,
    /// Its hub is chosen anew and its twin begins anew.
    Reset,
}

impl EnrollmentArguments {
    /// The JSON of the enrollment.
    pub(super) fn body(&self, id: &str, context: &mut Context<'_>) -> Result<Value, OperatorError> {
        let attestation = match &self.tpm_endorsement_key {
            Some(key) => json!({ "type": "tpm", "tpm": { "endorsementKey": key } }),
            None => self.attestation.body("clientCertificates", context)?,
        };
        let mut body = self.terms.body(context)?;
        body.insert("registrationId".to_owned(), id.into());
        body.insert("attestation".to_owned(), attestation);
        if let Some(device_id) = &self.device_id {
            body.insert("deviceId".to_owned(), device_id.as_str().into());
        }
        Ok(body.into())
    }
}

impl AttestationArguments {
    /// The JSON of the attestation; certificates stand in the member of this name.
    pub(super) fn body(&self, certificates: &str, context: &mut Context<'_>) -> Result<Value, OperatorError> {
        if !self.x509_ca.is_empty() {
            return Ok(json!({ "type": "x509", "x509": { "caReferences": pair("--x509-ca", self.x509_ca.clone())? } }));
        }
        if !self.x509_certificate.is_empty() {
            let text = |path: &PathBuf| Ok(json!({ "certificate": context.text_file(path)? }));
            let found = self.x509_certificate.iter().map(text).collect::<Result<Vec<_>, OperatorError>>()?;
            let found = pair("--x509-certificate", found)?;
            return Ok(json!({ "type": "x509", "x509": { certificates: found } }));
        }
        // Empty ones are made by the service.
        let text = |key: &Option<Secret>| match key {
            Some(key) => Key::from_base64(key.expose()).map(|key| key.to_base64().to_string()),
            None => Ok(String::new()),
        };
        let [primary, secondary] =
            [text(&self.key), text(&self.secondary_key)].map(|key| key.map_err(OperatorError::Key));
        Ok(json!({
            "type": "symmetricKey",
            "symmetricKey": { "primaryKey": primary?, "secondaryKey": secondary? },
        }))
    }
}

impl TermsArguments {
    /// The members of an enrollment's JSON that it speaks of.
    pub(super) fn body(&self, context: &mut Context<'_>) -> Result<Map<String, Value>, OperatorError> {
        let mut body = Map::new();
        let status = if self.disabled { "disabled" } else { "enabled" };
        body.insert("provisioningStatus".to_owned(), status.into());
        let mut twin = |option, text: &Option<String>| match text {
            Some(text) => context.json_object(option, text),
            None => Ok(Map::new()),
        };
        let (tags, desired) = (twin("--tags", &self.tags)?, twin("--desired", &self.desired)?);
        if !(tags.is_empty() && desired.is_empty()) {
            body.insert("initialTwin".to_owned(), json!({ "tags": tags, "properties": { "desired": desired } }));
        }
        let optional = [
            ("allocationPolicy", self.allocation.map(|policy| json!(policy.as_str()))),
            ("iotHubHostName", self.hub_host.as_ref().map(|name| json!(name))),
            ("iotHubs", (!self.among.is_empty()).then(|| json!(self.among))),
            (
                "customAllocationDefinition",
                self.webhook.as_ref().map(|url| json!({ "webhookUrl": url, "apiVersion": "2019-03-31" })),
            ),
            ("reprovisionPolicy", self.reprovision.map(Reprovision::body)),
            ("capabilities", self.edge_enabled.then(|| json!({ "iotEdge": true }))),
        ];
        body.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Ok(body)
    }
}

impl Allocation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::GeoLatency => "geoLatency",
            Self::Hashed => "hashed",
            Self::Static => "static",
        }
    }
}

impl Reprovision {
    fn body(self) -> Value {
        let (moves, migrates) = match self {
            Self::Migrate => (true, true),
            Self::Never => (false, false),
            Self::Reset => (true, false),
        };
        json!({ "updateHubAssignment": moves, "migrateDeviceData": migrates })
    }
}

/// A first and perhaps a second of something.
fn pair(option: &str, values: Vec<impl Into<Value>>) -> Result<Value, OperatorError> {
    if values.len() > 2 {
        return Err(OperatorError::usage(format!("{option} may be given twice, not more")));
    }
    let named = ["primary", "secondary"].into_iter().zip(values);
    Ok(Value::Object(named.map(|(name, value)| (name.to_owned(), value.into())).collect()))
}
