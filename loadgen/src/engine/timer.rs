//! A timer of the event loop: `epoll_wait` counts in milliseconds, a schedule lag below one needs a timer that doesn't.
//! - Hot path: `wake_at` is a system call only when the time asked for has changed.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};

use crate::engine::schedule::NEVER;

const NANOSECONDS: u64 = 1_000_000_000;

/// The time of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin_ns: u64,
    unix_ns: u64,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self { origin_ns: read(ClockId::Monotonic), unix_ns: read(ClockId::Realtime) }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        read(ClockId::Monotonic).saturating_sub(self.origin_ns)
    }

    /// UNIX nanoseconds of an instant of the run.
    pub(crate) const fn unix_ns(&self, now_ns: u64) -> u64 {
        self.unix_ns.saturating_add(now_ns)
    }
}

/// Processor time of the calling thread.
pub(crate) fn thread_cpu_ns() -> u64 {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(NANOSECONDS).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Wakes an event loop at a given time.
#[derive(Debug)]
pub(crate) struct Timer {
    descriptor: OwnedFd,
    clock: Clock,
    armed_ns: u64,
}

impl Timer {
    /// A timer that reports under `token`.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn new(clock: Clock, registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { descriptor, clock, armed_ns: NEVER })
    }

    /// Asks to be woken at an instant of the run.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn wake_at(&mut self, at_ns: u64) -> io::Result<()> {
        if at_ns == self.armed_ns {
            return Ok(());
        }
        let absolute = self.clock.origin_ns.saturating_add(at_ns);
        let value = Timespec {
            tv_sec: i64::try_from(absolute / NANOSECONDS).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(absolute % NANOSECONDS).unwrap_or(0),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &once)?;
        self.armed_ns = at_ns;
        Ok(())
    }

    /// The timer has fired: the next `wake_at` counts in any case.
    pub(crate) const fn fired(&mut self) {
        self.armed_ns = NEVER;
    }
}
