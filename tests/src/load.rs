//! The load generator as a process: load with numbered messages, and the proof of what arrived.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::hub::Hub;
use crate::programs::{program, shown};

/// A run under way.
#[derive(Debug)]
pub struct Load {
    child: Option<Child>,
    ledger: PathBuf,
}

impl Load {
    /// Starts numbered load on a hub.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(hub: &Hub, devices: &Path, arguments: &[&str]) -> Result<Self> {
        let ledger = hub.scratch().join("run.ledger");
        let mut command = Command::new(program("loadgen")?);
        command.args(["run", "--json", "--quiet", "--allow-invalid", "--host-name", "localhost", "--verify"]);
        command.args(["--content-type", "application/json", "--content-encoding", "utf-8"]);
        command.arg("--target").arg(hub.mqtt.to_string()).arg("--devices").arg(devices).arg("--ledger").arg(&ledger);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self { child: Some(command.spawn()?), ledger })
    }

    /// Whether it still sends.
    ///
    /// # Errors
    /// When the system does not know the process.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.as_mut().map(Child::try_wait).transpose()?.flatten().is_none())
    }

    /// Waits for the end; answers the report.
    ///
    /// # Errors
    /// When the run failed.
    pub fn finish(&mut self) -> Result<Value> {
        let output = self.child.take().context("finished already")?.wait_with_output()?;
        ensure!(output.status.success(), "loadgen run ended with {}\n{}", output.status, shown(&output));
        serde_json::from_slice(&output.stdout).context("the report is not JSON")
    }

    /// Compares what was acknowledged with what arrived; answers exit code and report.
    ///
    /// # Errors
    /// When the program cannot be started or its report not be read.
    pub fn verify(&self, arguments: &[&str]) -> Result<(i32, Value)> {
        let mut command = Command::new(program("loadgen")?);
        command.args(["verify", "--json", "--ledger"]).arg(&self.ledger).args(arguments);
        let output = command.output()?;
        let report = serde_json::from_slice(&output.stdout).with_context(|| shown(&output))?;
        Ok((output.status.code().unwrap_or(-1), report))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
