//! An SDK in a process of its own, told what to do line by line: JSON commands in, JSON results and events out.
//! - Shape: `{"id":1,"do":"twin"}` -> `{"id":1,"ok":…}` or `{"id":1,"error":"…"}`; events come in between: `{"event":"method",…}`.
//! - Invariants: the process is gone when the value is. Nothing is waited for longer than [`PATIENCE`].

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::hub::PATIENCE;

/// Lines that may wait to be looked at.
const LINES_MAX: usize = 10_000;

/// See the module's documentation.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
    events: Vec<Value>,
    last: u64,
}

impl Driver {
    /// Starts a driver program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        let (sender, lines) = sync_channel(LINES_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // SDKs print lines of their own; they are none of ours.
                let Ok(value) = serde_json::from_str::<Value>(&line) else { continue };
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, input, lines, events: Vec::new(), last: 0 })
    }

    /// Has something done; answers its result.
    ///
    /// # Errors
    /// What the SDK raised, or that it said nothing in time.
    pub fn ask(&mut self, what: &str, mut arguments: Value) -> Result<Value> {
        self.last += 1;
        arguments["do"] = json!(what);
        arguments["id"] = json!(self.last);
        writeln!(self.input, "{arguments}").with_context(|| format!("{what}: the driver has ended"))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.line(deadline).with_context(|| format!("no answer to {arguments}"))?;
            if line["id"] != json!(self.last) {
                self.events.push(line);
                continue;
            }
            if let Some(error) = line["error"].as_str() {
                bail!("{what}: {error}");
            }
            return Ok(line["ok"].clone());
        }
    }

    /// Has something done that must fail; answers the error.
    ///
    /// # Errors
    /// When it does not fail.
    pub fn refused(&mut self, what: &str, arguments: Value) -> Result<String> {
        match self.ask(what, arguments) {
            Ok(value) => bail!("{what} was not refused: {value}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    /// The next event of that kind; earlier and other ones stay.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn event(&mut self, kind: &str) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.events.iter().position(|event| event["event"] == kind) {
                return Ok(self.events.remove(at));
            }
            let line = self.line(deadline).with_context(|| format!("no event {kind}; others: {:?}", self.events))?;
            self.events.push(line);
        }
    }

    /// Events of that kind that came and were not asked for yet.
    #[must_use]
    pub fn waiting(&self, kind: &str) -> usize {
        self.events.iter().filter(|event| event["event"] == kind).count()
    }

    fn line(&self, deadline: Instant) -> Result<Value> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("nothing came in time"),
            Err(RecvTimeoutError::Disconnected) => bail!("the driver has ended"),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
