//! The custom allocation policy: a webhook of the operator chooses the hub.
//! - Source: Azure DPS, custom allocation policies.
//! - Shape: POST `{enrollmentGroup | individualEnrollment, deviceRuntimeContext, linkedHubs}` -> 200 `{iotHubHostName, initialTwin?, payload?}`
//! - Limits: the answer has at most [`WEBHOOK_ANSWER_BYTES_MAX`]; one attempt, one time-out, no redirects; https, or http to this machine
//!   (anywhere only if the operator says so).
//! - Invariants: no key is sent; the webhook gets ids, not secrets.

use millrace_model::HubError;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::attestation::{Admission, Standing};
use crate::client::call;
use crate::enrollment::{CustomAllocation, InitialTwin};
use crate::error::WEBHOOK;
use crate::events;
use crate::limits::WEBHOOK_ANSWER_BYTES_MAX;
use crate::registration::Registration;

/// What a webhook decided.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Decision {
    /// The hub.
    pub(crate) iot_hub_host_name: String,
    /// First contents of the twin, instead of the enrollment's.
    pub(crate) initial_twin: Option<InitialTwin>,
    /// For the device.
    pub(crate) payload: Option<Value>,
}

/// Asks a webhook.
pub(crate) async fn ask(
    client: &Client,
    custom: &CustomAllocation,
    body: &Value,
    allow_insecure: bool,
) -> Result<Decision, HubError> {
    let url = address(&custom.webhook_url, allow_insecure)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let request = client.post(url).header("content-type", "application/json").body(body.to_string());
    let (status, answer) = call(request, WEBHOOK_ANSWER_BYTES_MAX).await.map_err(|error| {
        events::call_failed(&host, &error);
        WEBHOOK.because(format!("the allocation webhook failed: {error}"))
    })?;
    if status != StatusCode::OK {
        events::call_failed(&host, &status);
        return Err(WEBHOOK.because(format!("the allocation webhook answered status {}", status.as_u16())));
    }
    serde_json::from_slice(&answer)
        .map_err(|_| WEBHOOK.because("the allocation webhook's answer is not the JSON that belongs there"))
}

/// The body of the request.
pub(crate) fn request(standing: &Standing, registration: &Registration, linked_hubs: &[String]) -> Value {
    let mut runtime = json!({"registrationId": registration.registration_id});
    let mut body = json!({"linkedHubs": linked_hubs});
    if let Some(members) = runtime.as_object_mut() {
        if let Some(assigned) = &registration.assigned {
            members.insert("currentIotHubHostName".to_owned(), json!(assigned.hub));
            members.insert("currentDeviceId".to_owned(), json!(assigned.device_id));
        }
        if let Some(payload) = &registration.request_payload {
            members.insert("payload".to_owned(), payload.clone());
        }
        members.extend(registration.evidence.runtime());
    }
    if let Some(members) = body.as_object_mut() {
        members.insert("deviceRuntimeContext".to_owned(), runtime);
        let (name, enrollment) = match &standing.admission {
            Admission::Individual(enrollment) => {
                let mut shown = enrollment.as_ref().clone();
                shown.attestation = shown.attestation.without_keys();
                ("individualEnrollment", serde_json::to_value(shown))
            }
            Admission::Group(group) => {
                let mut shown = group.as_ref().clone();
                shown.attestation = shown.attestation.without_keys();
                ("enrollmentGroup", serde_json::to_value(shown))
            }
        };
        members.insert(name.to_owned(), enrollment.unwrap_or_default());
    }
    body
}

fn address(text: &str, allow_insecure: bool) -> Result<Url, HubError> {
    let url = Url::parse(text).map_err(|_| WEBHOOK.because("the allocation webhook's address is not one"))?;
    let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback || allow_insecure => Ok(url),
        _ => Err(WEBHOOK.because("the allocation webhook has to be reached by https")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_leaves_the_machine() {
        for good in ["https://hooks.example.net/x", "http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:9/"] {
            assert!(address(good, false).is_ok(), "{good}");
        }
        for bad in [
            "http://hooks.example.net/x",
            "http://127.0.0.1.example.net/",
            "file:///etc/passwd",
            "ftp://localhost/",
            "no",
        ] {
            assert!(address(bad, false).is_err(), "{bad}");
        }
        assert!(address("http://hooks.example.net/x", true).is_ok());
        assert!(address("file:///etc/passwd", true).is_err());
    }
}
