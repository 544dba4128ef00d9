//! Several processes for one run: each may open its own files and ports, and a crash of one is seen by the others' conductor.
//! - Shape: the parent writes one line of JSON (the child's task) and later "go" to the child's standard input; the child writes one
//!   line of JSON per notice to its standard output. Standard error is shared.
//! - Invariants: children end when their standard input closes before "go", so none outlives its parent's failure by more than a run.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::NOTICES_MAX;
use crate::engine::settings::Settings;
use crate::engine::{self, Notice};
use crate::plan::Plan;
use crate::report::Tally;

/// Name of the hidden command that a child runs.
pub(crate) const COMMAND: &str = "child";
const GO: &str = "go";

/// What a child has to do.
#[derive(Debug, Serialize, Deserialize)]
struct Task {
    process: u16,
    run: u32,
    plan: Plan,
}

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Ramped,
    Entered(usize),
    Tally(Box<Tally>),
    Done(Option<String>),
}

/// The children of a run.
pub(super) struct Children {
    running: Vec<(Child, ChildStdin)>,
}

impl Children {
    /// Starts the processes of a plan.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn start(plan: &Plan, run: u32, notices: &SyncSender<Notice>) -> Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut children = Self { running: Vec::new() };
        for process in 0..plan.processes {
            let mut command = Command::new(&program);
            let mut child = command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
                bail!("a process without pipes");
            };
            let task = Task { process, run, plan: plan.share(process) };
            writeln!(input, "{}", serde_json::to_string(&task)?).context("starting a process")?;
            children.running.push((child, input));
            let notices = notices.clone();
            std::thread::Builder::new().name(format!("process-{process}")).spawn(move || {
                listen(BufReader::new(output), process, &notices);
            })?;
        }
        Ok(children)
    }

    /// Says "go" to all.
    ///
    /// # Errors
    /// One of them is gone.
    pub(super) fn go(&mut self) -> Result<()> {
        for (_, input) in &mut self.running {
            writeln!(input, "{GO}").context("a process is gone")?;
        }
        Ok(())
    }

    /// Waits for their ends.
    ///
    /// # Errors
    /// One of them failed.
    pub(super) fn wait(&mut self) -> Result<()> {
        for (mut child, input) in self.running.drain(..) {
            drop(input);
            child.wait().context("waiting for a process")?;
        }
        Ok(())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for (child, _) in &mut self.running {
            // It may have ended by itself.
            child.kill().unwrap_or_default();
            child.wait().map(drop).unwrap_or_default();
        }
    }
}

fn listen(output: impl BufRead, process: u16, notices: &SyncSender<Notice>) {
    for line in output.lines() {
        let notice = match line.map(|line| serde_json::from_str::<Line>(&line)) {
            Ok(Ok(Line::Ramped)) => Notice::Ramped,
            Ok(Ok(Line::Entered(number))) => Notice::Entered(number),
            Ok(Ok(Line::Tally(tally))) => Notice::Tally(tally),
            Ok(Ok(Line::Done(failure))) => {
                notices.send(Notice::Done(failure)).unwrap_or_default();
                return;
            }
            _ => break,
        };
        if notices.send(notice).is_err() {
            return;
        }
    }
    notices.send(Notice::Done(Some(format!("process {process} ended without a word")))).unwrap_or_default();
}

/// The whole life of a child process.
///
/// # Errors
/// The task can't be read or begun; the parent is told as well.
pub(crate) fn child() -> Result<()> {
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    input.read_line(&mut line).context("reading the task")?;
    let task: Task = serde_json::from_str(&line).context("reading the task")?;
    let result = perform(task, &mut input);
    if let Err(error) = &result {
        say(&Line::Done(Some(format!("{error:#}"))))?;
    }
    result
}

fn perform(task: Task, input: &mut impl BufRead) -> Result<()> {
    let settings = Arc::new(Settings::prepare(task.plan, task.process, task.run)?);
    let (sender, notices) = sync_channel(NOTICES_MAX);
    let threads = engine::start(&settings, &sender)?.len();
    drop(sender);
    let (mut ramped, mut done) = (0, 0);
    while done < threads {
        match notices.recv().context("a thread ended without a word")? {
            Notice::Ramped => {
                ramped += 1;
                if ramped == threads {
                    say(&Line::Ramped)?;
                    let mut line = String::new();
                    input.read_line(&mut line)?;
                    if line.trim() != GO {
                        bail!("called off");
                    }
                    settings.go();
                }
            }
            Notice::Entered(number) => say(&Line::Entered(number))?,
            Notice::Tally(tally) => say(&Line::Tally(tally))?,
            Notice::Done(None) => done += 1,
            Notice::Done(Some(failure)) => bail!("{failure}"),
        }
    }
    say(&Line::Done(None))
}

fn say(line: &Line) -> Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("the parent is gone")
}
