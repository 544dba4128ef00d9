//! Another hub, over its service REST API.
//! - Source: Azure IoT Hub service REST API, devices and twins.
//! - Shape: a token of a service policy for each call; `PUT` with `If-Match: "*"` updates, without it creates.

use std::path::Path;
use std::time::Duration;

use millrace_control_store::clock;
use millrace_control_store::registry::Authentication;
use millrace_model::HubError;
use millrace_protocols_identity::connection_string::Credential;
use millrace_protocols_identity::{ConnectionString, Key, sas};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{DeviceSpec, HubRegistry, PendingHub};
use crate::client::{self, call};
use crate::enrollment::InitialTwin;
use crate::error::StartError;
use crate::events;
use crate::limits::HUB_ANSWER_BYTES_MAX;

const API_VERSION: &str = "2021-04-12";

/// How long a token for one call is good.
const TOKEN_SECONDS: u64 = 300;

/// See the module's documentation.
pub struct RemoteHub {
    host_name: String,
    url: String,
    policy: String,
    key: Key,
    client: Client,
}

impl RemoteHub {
    /// A hub by the connection string of one of its service policies.
    ///
    /// # Errors
    /// When the string has no policy and key, or the authorities' file cannot be read.
    pub fn new(
        connection: &ConnectionString,
        service_url: Option<&str>,
        ca_file: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, StartError> {
        let lacks = StartError::LinkedHub { index: 0, problem: "the name and the key of a service policy are needed" };
        let (Some(policy), Credential::Key(key)) = (&connection.policy, &connection.credential) else {
            return Err(lacks);
        };
        let url = service_url.map_or_else(|| format!("https://{}", connection.host_name), str::to_owned);
        Ok(Self {
            host_name: connection.host_name.clone(),
            client: client::new(ca_file, timeout, url.starts_with("https://"))?,
            url: url.trim_end_matches('/').to_owned(),
            policy: policy.clone(),
            key: key.clone(),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        if_match: bool,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), HubError> {
        let expiry = u64::try_from(clock::now().unix_seconds()).unwrap_or_default() + TOKEN_SECONDS;
        let token = Zeroizing::new(sas::sign(&sas::encode(&self.host_name), &self.key, expiry, Some(&self.policy)));
        let url = format!("{}{path}?api-version={API_VERSION}", self.url);
        let mut request = self.client.request(method, url).header("authorization", token.as_str());
        if if_match {
            request = request.header("if-match", "\"*\"");
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json; charset=utf-8").body(body.to_string());
        }
        let (status, body) = call(request, HUB_ANSWER_BYTES_MAX).await.map_err(|error| {
            events::call_failed(&self.host_name, &error);
            HubError::UNAVAILABLE.because("the device's hub does not answer")
        })?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// What a status means that is none of those expected.
    fn refused(&self, status: StatusCode) -> HubError {
        events::call_failed(&self.host_name, &status);
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return HubError::UNAVAILABLE.because("the device's hub takes no more for the moment");
        }
        HubError::OPERATION.because(format!("the device's hub refused it with status {}", status.as_u16()))
    }

    async fn put(&self, device: &DeviceSpec) -> Result<(), HubError> {
        let path = format!("/devices/{}", sas::encode(&device.device_id));
        let new = device_body(device, true);
        let (status, _) = self.send(Method::PUT, &path, false, Some(&new)).await?;
        match status {
            StatusCode::OK | StatusCode::CREATED => return Ok(()),
            StatusCode::CONFLICT => {}
            other => return Err(self.refused(other)),
        }
        // What an update leaves out stays: above all a status that an operator has set.
        let update = device_body(device, false);
        let (status, _) = self.send(Method::PUT, &path, true, Some(&update)).await?;
        if status.is_success() { Ok(()) } else { Err(self.refused(status)) }
    }

    async fn read_twin(&self, device_id: &str) -> Result<Option<InitialTwin>, HubError> {
        let (status, body) = self.send(Method::GET, &format!("/twins/{}", sas::encode(device_id)), false, None).await?;
        match status {
            StatusCode::OK => Ok(Some(without_metadata(&body))),
            StatusCode::NOT_FOUND => Ok(None),
            other => Err(self.refused(other)),
        }
    }
}

impl HubRegistry for RemoteHub {
    fn put_device<'a>(&'a self, device: &'a DeviceSpec) -> PendingHub<'a, ()> {
        Box::pin(self.put(device))
    }

    fn twin<'a>(&'a self, device_id: &'a str) -> PendingHub<'a, Option<InitialTwin>> {
        Box::pin(self.read_twin(device_id))
    }

    fn replace_twin<'a>(&'a self, device_id: &'a str, twin: &'a InitialTwin) -> PendingHub<'a, ()> {
        Box::pin(async move {
            let body =
                json!({"deviceId": device_id, "tags": twin.tags, "properties": {"desired": twin.properties.desired}});
            let path = format!("/twins/{}", sas::encode(device_id));
            let (status, _) = self.send(Method::PUT, &path, true, Some(&body)).await?;
            if status.is_success() { Ok(()) } else { Err(self.refused(status)) }
        })
    }

    fn delete_device<'a>(&'a self, device_id: &'a str) -> PendingHub<'a, ()> {
        Box::pin(async move {
            let path = format!("/devices/{}", sas::encode(device_id));
            let (status, _) = self.send(Method::DELETE, &path, true, None).await?;
            if status.is_success() || status == StatusCode::NOT_FOUND { Ok(()) } else { Err(self.refused(status)) }
        })
    }
}

impl std::fmt::Debug for RemoteHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteHub").field("host_name", &self.host_name).finish_non_exhaustive()
    }
}

/// Tags and desired properties of a twin as the service API answers it.
#[must_use]
pub fn without_metadata(twin: &Value) -> InitialTwin {
    let object = |value: Option<&Value>| -> Map<String, Value> {
        let members = value.and_then(Value::as_object).into_iter().flatten();
        let own = members.filter(|(name, _)| !name.starts_with('$'));
        own.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let mut contents = InitialTwin { tags: object(twin.get("tags")), ..InitialTwin::default() };
    contents.properties.desired = object(twin.pointer("/properties/desired"));
    contents
}

fn device_body(device: &DeviceSpec, is_new: bool) -> Value {
    let mut body = json!({"deviceId": device.device_id, "authentication": authentication_body(&device.authentication)});
    if let Some(members) = body.as_object_mut() {
        if is_new {
            members.insert("status".to_owned(), json!("enabled"));
        }
        if let Some(iot_edge) = device.iot_edge {
            members.insert("capabilities".to_owned(), json!({"iotEdge": iot_edge}));
        }
    }
    body
}

fn authentication_body(authentication: &Authentication) -> Value {
    match authentication {
        Authentication::None => json!({"type": "none"}),
        Authentication::Sas { primary, secondary } => json!({"type": "sas", "symmetricKey": {
            "primaryKey": primary.to_base64().as_str(), "secondaryKey": secondary.to_base64().as_str()}}),
        Authentication::SelfSigned { primary, secondary } => json!({"type": "selfSigned", "x509Thumbprint": {
            "primaryThumbprint": primary.map(|print| print.to_string()),
            "secondaryThumbprint": secondary.map(|print| print.to_string())}}),
        Authentication::CertificateAuthority => json!({"type": "certificateAuthority"}),
    }
}
