//! The four ways in which the unmodified device SDKs reach a hub, behind one set of commands, and the service SDKs.

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::driver::Driver;
use crate::hub::Hub;
use crate::node::node;
use crate::python::{script, venv};

/// A device SDK and its transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    /// `azure-iot-device` of Python, MQTT.
    Python,
    /// The same over WebSocket.
    PythonWebSocket,
    /// `azure-iot-device` of Node, MQTT.
    Node,
    /// The same over WebSocket.
    NodeWebSocket,
    /// The same over HTTPS.
    NodeHttp,
}

impl Sdk {
    /// Those that hold a session.
    pub const WITH_SESSION: [Self; 4] = [Self::Python, Self::PythonWebSocket, Self::Node, Self::NodeWebSocket];

    /// Whether it is the Python one.
    #[must_use]
    pub const fn is_python(self) -> bool {
        matches!(self, Self::Python | Self::PythonWebSocket)
    }

    /// Starts its driver.
    ///
    /// # Errors
    /// When it cannot be installed or started.
    pub fn start(self, hub: &Hub) -> Result<Driver> {
        if self.is_python() {
            return Driver::start(
                Command::new(venv()?).arg(script("device_driver.py")).env("REQUESTS_CA_BUNDLE", hub.ca()),
            );
        }
        Driver::start(node("device_driver.js")?.env("NODE_EXTRA_CA_CERTS", hub.ca()))
    }

    /// What `create` and `provision` need besides the credential.
    #[must_use]
    pub fn options(self, hub: &Hub) -> Value {
        match self {
            Self::Python => json!({"ca": hub.ca()}),
            Self::PythonWebSocket => json!({"ca": hub.ca(), "websockets": true}),
            Self::Node => json!({"ca": hub.ca(), "transport": "mqtt"}),
            Self::NodeWebSocket => json!({"ca": hub.ca(), "transport": "mqtt-ws"}),
            Self::NodeHttp => json!({"ca": hub.ca(), "transport": "http"}),
        }
    }

    /// A driver whose client is connected with that credential.
    ///
    /// # Errors
    /// When it does not connect.
    pub fn connect(self, hub: &Hub, credential: Value) -> Result<Driver> {
        let mut driver = self.start(hub)?;
        driver.ask("create", merged(self.options(hub), credential))?;
        driver.ask("connect", json!({}))?;
        Ok(driver)
    }
}

/// A service SDK with a policy's connection string.
#[derive(Debug)]
pub struct Service {
    driver: Driver,
    connection_string: String,
}

impl Service {
    /// The Python one.
    ///
    /// # Errors
    /// When it cannot be installed or started.
    pub fn python(hub: &Hub, policy: &str) -> Result<Self> {
        let mut command = Command::new(venv()?);
        command.arg(script("service_driver.py")).env("REQUESTS_CA_BUNDLE", hub.ca());
        Ok(Self { driver: Driver::start(&mut command)?, connection_string: hub.service(policy)? })
    }

    /// The Node one.
    ///
    /// # Errors
    /// When it cannot be installed or started.
    pub fn node(hub: &Hub, policy: &str) -> Result<Self> {
        let driver = Driver::start(node("service_driver.js")?.env("NODE_EXTRA_CA_CERTS", hub.ca()))?;
        Ok(Self { driver, connection_string: hub.service(policy)? })
    }

    /// Calls a method of one of the SDK's clients.
    ///
    /// # Errors
    /// What the SDK raised.
    pub fn call(&mut self, client: &str, name: &str, arguments: Value) -> Result<Value> {
        let service = &self.connection_string;
        self.driver
            .ask("call", json!({"client": client, "name": name, "arguments": arguments, "connection_string": service}))
    }

    /// Calls a method that must fail; answers the error.
    ///
    /// # Errors
    /// When it does not fail.
    pub fn refused(&mut self, client: &str, name: &str, arguments: Value) -> Result<String> {
        match self.call(client, name, arguments) {
            Ok(value) => anyhow::bail!("{name} was not refused: {value}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    /// All rows of a query of the Node SDK, and the number of its pages.
    ///
    /// # Errors
    /// What the SDK raised.
    pub fn query(&mut self, client: &str, name: &str, arguments: Value) -> Result<(Vec<Value>, u64)> {
        let service = &self.connection_string;
        let answer = self.driver.ask(
            "query",
            json!({"client": client, "name": name, "arguments": arguments, "connection_string": service}),
        )?;
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        Ok((rows, answer["pages"].as_u64().unwrap_or_default()))
    }
}

/// One object with the members of both.
#[must_use]
pub fn merged(mut into: Value, from: Value) -> Value {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
    into
}
