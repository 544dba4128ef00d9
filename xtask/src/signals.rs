//! Children that are ended by their own number, whatever happens to this program.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How often a child is looked at.
const POLL: Duration = Duration::from_millis(50);

/// A child that is ended when the value goes away.
pub(crate) struct Service {
    child: Child,
}

impl Service {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end (SIGTERM) and waits for it. True: it ended well.
    pub(crate) fn stop(&mut self, patience: Duration) -> anyhow::Result<bool> {
        crate::process::output(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            std::thread::sleep(POLL);
        }
        anyhow::bail!("process {} does not end", self.child.id())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.is_running() {
            // It may have ended by itself in this moment.
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}
