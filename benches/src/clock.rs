//! CPU time as what criterion measures: on a machine that does other work too, wall time says little about a step.
//! - Units: nanoseconds of user and kernel time. [`CpuTime`] counts the calling thread; [`process_cpu`] counts all threads.
//! - Limits: a reading costs a system call of about 0.3 us, so an iteration has to be worth many of them, or many to a sample.

use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkGroup, Criterion};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of the calling thread.
#[derive(Debug, Clone, Copy)]
pub struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        thread_cpu()
    }

    fn end(&self, start: Duration) -> Duration {
        thread_cpu().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// What one stretch of work took.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// On the clock on the wall.
    pub wall: Duration,
    /// CPU of the calling thread.
    pub thread: Duration,
    /// CPU of the whole process.
    pub process: Duration,
}

/// By which clock a bench is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// CPU of all threads but the calling one: a server's, where the caller is its client.
    Elsewhere,
    /// CPU of the whole process.
    Process,
    /// CPU of the calling thread.
    Thread,
    /// What somebody who waits for it sees.
    Wall,
}

impl Clock {
    const fn label(self) -> &'static str {
        match self {
            Self::Elsewhere => "server cpu",
            Self::Process => "process cpu",
            Self::Thread => "thread cpu",
            Self::Wall => "wall",
        }
    }

    const fn read(self, spent: Spent) -> Duration {
        match self {
            Self::Elsewhere => spent.process.saturating_sub(spent.thread),
            Self::Process => spent.process,
            Self::Thread => spent.thread,
            Self::Wall => spent.wall,
        }
    }
}

/// Benches `once`, which takes its own time, by each of `clocks`.
pub fn bench_by(
    group: &mut BenchmarkGroup<'_, CpuTime>,
    name: &str,
    clocks: &[Clock],
    once: &mut dyn FnMut() -> Spent,
) {
    for clock in clocks {
        group.bench_function(format!("{name}, {}", clock.label()), |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| clock.read(once())).sum());
        });
    }
}

/// Takes the time of `work` by all three clocks.
///
/// # Errors
/// Those of `work`.
pub fn spent<E>(work: impl FnOnce() -> Result<(), E>) -> Result<Spent, E> {
    let (wall, thread, process) = (Instant::now(), thread_cpu(), process_cpu());
    work()?;
    Ok(Spent {
        wall: wall.elapsed(),
        thread: thread_cpu().saturating_sub(thread),
        process: process_cpu().saturating_sub(process),
    })
}

/// CPU time that the calling thread has taken so far.
#[must_use]
pub fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time that all threads of this process have taken so far.
#[must_use]
pub fn process_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// Runs benches under the command line that cargo gives them: few samples, so that all of them end within minutes.
pub fn run(benches: &[fn(&mut Criterion<CpuTime>)]) {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for bench in benches {
        bench(&mut criterion);
    }
    criterion.final_summary();
}
