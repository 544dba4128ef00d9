//! Requests over plain HTTP, written by hand: the service API, the device API and provisioning of a hub, with any token and any bytes.
//! - Shape: one connection for each request, as HTTP/1.0, so that an answer ends with the connection.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use millrace_protocols_identity::connection_string::Credential;
use millrace_protocols_identity::{ConnectionString, Key, sas};
use serde_json::{Value, json};

use crate::hub::{Hub, PATIENCE};

/// An expiry far away.
pub const LATER: u64 = 4_000_000_000;

/// What the hub answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Head as it came.
    pub head: String,
    /// Body as it came.
    pub body: Vec<u8>,
}

/// A caller with one policy's key.
#[derive(Debug, Clone)]
pub struct Rest {
    /// Where the API is.
    pub address: SocketAddr,
    /// Key of the policy.
    pub key: Key,
    /// Its name.
    pub policy: String,
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Numeric code of an error.
    #[must_use]
    pub fn code(&self) -> u64 {
        self.json()["errorCode"].as_u64().unwrap_or_default()
    }
}

/// An address for the plain listener of a hub that is not started yet. Its host is this process's own, so that nobody else takes its port
/// in between.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ok(TcpListener::bind((Ipv4Addr::new(127, 78, high, low), 0))?.local_addr()?)
}

impl Rest {
    /// A caller with the key of one of the hub's policies.
    ///
    /// # Errors
    /// When the hub has no such policy.
    pub fn new(hub: &Hub, address: SocketAddr, policy: &str) -> Result<Self> {
        let parsed = ConnectionString::parse(&hub.service(policy)?)?;
        let Credential::Key(key) = parsed.credential else { anyhow::bail!("no key in the connection string") };
        Ok(Self { address, key, policy: policy.to_owned() })
    }

    /// A token for a resource; `None` in place of the policy signs as a device does.
    #[must_use]
    pub fn token(&self) -> String {
        sas::sign("localhost", &self.key, LATER, Some(&self.policy))
    }

    /// Calls with the policy's token and a JSON body.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        self.call_with(method, path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    /// Calls with the policy's token, headers and a body of any kind.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn call_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let token = self.token();
        let headers: Vec<_> = headers.iter().copied().chain([("Authorization", token.as_str())]).collect();
        request(self.address, method, path, &headers, body)
    }

    /// Makes a device whose key is known.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self, id: &str, key: &Key) -> Result<()> {
        let answer = self.call("PUT", &format!("/devices/{}", sas::encode(id)), &device(id, key))?;
        ensure!(answer.status == 200, "{id}: {answer:?}");
        Ok(())
    }
}

/// An identity with that key, as the service API takes it.
#[must_use]
pub fn device(id: &str, key: &Key) -> Value {
    let key = key.to_base64().to_string();
    json!({"deviceId": id, "status": "enabled",
           "authentication": {"type": "sas", "symmetricKey": {"primaryKey": key, "secondaryKey": key}}})
}

/// Sends a request and reads its whole answer.
///
/// # Errors
/// When there is none.
pub fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
    let mut stream = connection(address)?;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(&[head.as_bytes(), b"\r\n", body].concat())?;
    answer(&mut stream)
}

/// A connection that has said nothing yet.
///
/// # Errors
/// When nobody listens.
pub fn connection(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads an answer up to the end of its connection.
///
/// # Errors
/// When there is none.
pub fn answer(stream: &mut TcpStream) -> Result<Answer> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(at) = at else {
        read?;
        anyhow::bail!("no answer but {:?}", String::from_utf8_lossy(&bytes));
    };
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok(Answer { status, head, body: bytes[at + 4..].to_vec() })
}
