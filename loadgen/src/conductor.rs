//! Conducts a run: starts threads or processes, says "go" when all have connected, adds up their tallies, shows them live.
//! - Shape: one bounded channel of notices from everybody; the only message back is "go".
//! - Errors: a thread or process that fails ends the run with its reason; so does a ramp in which nobody was accepted.

mod processes;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::engine::settings::Settings;
use crate::engine::{self, Notice};
use crate::ledger::Writer;
use crate::plan::Plan;
use crate::report::live::Live;
use crate::report::run::Collector;
use crate::report::server::Watched;
use crate::report::{RunReport, Tally};

pub(crate) use processes::{COMMAND as CHILD_COMMAND, child};

/// Tallies that may wait for the conductor; beyond this threads keep them.
const NOTICES_MAX: usize = 1_024;
const SECOND: Duration = Duration::from_secs(1);

/// Runs a plan that `validate` found nothing wrong with.
///
/// # Errors
/// It could not be run: files, addresses, nobody accepted, a process that died.
pub fn run(plan: &Plan, is_quiet: bool) -> Result<RunReport> {
    let run = run_id();
    if let Some(path) = &plan.ledger {
        Writer::create(path, run)?;
    }
    let (sender, notices) = sync_channel(NOTICES_MAX);
    let mut collector = Collector::new(plan.clone());
    let servers = if plan.processes > 1 {
        let mut children = processes::Children::start(plan, run, &sender)?;
        drop(sender);
        let parties = usize::from(plan.processes);
        // A run that fails drops the children, which ends them.
        let servers = conduct(plan, &notices, parties, &mut collector, is_quiet, || children.go())?;
        children.wait()?;
        servers
    } else {
        let settings = Arc::new(Settings::prepare(plan.clone(), 0, run)?);
        let threads = engine::start(&settings, &sender)?;
        drop(sender);
        let go = || {
            settings.go();
            Ok(())
        };
        conduct(plan, &notices, threads.len(), &mut collector, is_quiet, go)?
    };
    Ok(collector.finish(run, &servers))
}

/// Listens until all parties are done.
fn conduct(
    plan: &Plan,
    notices: &Receiver<Notice>,
    parties: usize,
    collector: &mut Collector,
    is_quiet: bool,
    mut go: impl FnMut() -> Result<()>,
) -> Result<Vec<Watched>> {
    let live = Live::new(is_quiet);
    let mut servers: Vec<Watched> = plan.pids.iter().copied().map(Watched::new).collect();
    let (mut ramped, mut done) = (0, 0);
    let mut phase = 0;
    let mut sum = Tally::default();
    let mut shown = Instant::now();
    while done < parties {
        match notices.recv_timeout(SECOND.saturating_sub(shown.elapsed())) {
            Ok(Notice::Tally(tally)) => {
                collector.add(&tally);
                sum.merge(&tally);
            }
            Ok(Notice::Entered(number)) if number > phase => {
                let is_measured = collector.is_measured(phase) || collector.is_measured(number);
                servers.iter_mut().for_each(|server| server.look(is_measured));
                phase = number;
            }
            Ok(Notice::Entered(_)) => {}
            Ok(Notice::Ramped) => {
                ramped += 1;
                if ramped == parties {
                    go()?;
                }
            }
            Ok(Notice::Done(None)) => done += 1,
            Ok(Notice::Done(Some(failure))) => bail!("{failure}"),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("a thread or process ended without a word"),
        }
        if ramped == parties && phase > 0 && collector.accepted() == 0 {
            bail!("no connection was accepted: {}", collector.refusals());
        }
        if shown.elapsed() >= SECOND {
            servers.iter_mut().for_each(|server| server.look(collector.is_measured(phase)));
            live.show(collector.phase_name(phase), &std::mem::take(&mut sum), collector.gauges());
            shown = Instant::now();
        }
    }
    live.finish();
    servers.iter_mut().for_each(|server| server.look(false));
    Ok(servers)
}

/// Differs from run to run: what the system gives a new hash map as its seed.
fn run_id() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let bits = std::hash::RandomState::new().build_hasher().finish();
    u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(1)
}
