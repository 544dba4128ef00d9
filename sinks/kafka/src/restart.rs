//! When a failed producer is replaced, and how many records share a request of the next one. Decides, never acts.
//! - Source: a broker refuses a request whole (`MESSAGE_TOO_LARGE`, `INVALID_RECORD`), though one record of thousands is at fault, or
//!   none: a request may be larger than `max.message.bytes` of the topic when no record is.
//! - Shape: [`Mode::Together`] -> a request is refused -> [`Mode::Alone`] until all in flight is settled -> `Together`, with smaller
//!   requests when no record was refused alone.
//! - Limits: requests of [`REQUEST_BYTES_MIN`] to [`REQUEST_BYTES_START`].

use std::time::{Duration, Instant};

use millrace_model::SinkError;
use rdkafka::config::ClientConfig;

/// Pause before a failed producer is replaced.
const PAUSE: Duration = Duration::from_secs(1);

/// Largest request at first: what the defaults of a broker take.
const REQUEST_BYTES_START: u32 = 1_000_000;

/// Requests are never made smaller than this.
const REQUEST_BYTES_MIN: u32 = 16 * 1024;

/// How many records share a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As many as fit.
    Together,
    /// One, to find out which one is refused.
    Alone,
}

/// How records share requests, learned from what the brokers refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requests {
    mode: Mode,
    bytes: u32,
    /// Whether a record was refused since `Alone` began.
    refused: bool,
}

impl Default for Requests {
    fn default() -> Self {
        Self { mode: Mode::Together, bytes: REQUEST_BYTES_START, refused: false }
    }
}

impl Requests {
    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Remembers that a record was refused though it was alone in its request.
    pub(crate) const fn note_refusal(&mut self) {
        self.refused = true;
    }

    /// How the next producer does it.
    pub(crate) fn next(self, mode: Mode) -> Self {
        let proved_too_large = self.mode == Mode::Alone && mode == Mode::Together && !self.refused;
        let bytes = if proved_too_large { (self.bytes / 2).max(REQUEST_BYTES_MIN) } else { self.bytes };
        Self { mode, bytes, refused: self.refused && mode == Mode::Alone }
    }

    /// The settings for it on top of `base`.
    pub(crate) fn configure(self, base: &ClientConfig) -> ClientConfig {
        let mut config = base.clone();
        match self.mode {
            Mode::Together => config.set("batch.size", self.bytes.to_string()),
            // Refused records are the point here, and that others follow them is right.
            Mode::Alone => config.set("batch.num.messages", "1").set("enable.gapless.guarantee", "false"),
        };
        config
    }
}

/// A producer has failed and is to be replaced.
#[derive(Debug)]
pub(crate) struct Restart {
    reason: String,
    mode: Mode,
    pause: Duration,
    /// Known from the first time somebody with a clock asks.
    due: Option<Instant>,
}

impl Restart {
    /// After a failure of the brokers: with a pause, because it may well go on.
    pub(crate) const fn after_failure(reason: String, mode: Mode) -> Self {
        Self { reason, mode, pause: PAUSE, due: None }
    }

    /// To change how records share requests.
    pub(crate) const fn at_once(reason: String, mode: Mode) -> Self {
        Self { reason, mode, pause: Duration::ZERO, due: None }
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let pause = self.pause;
        now >= *self.due.get_or_insert_with(|| now + pause)
    }

    /// What the router is told meanwhile.
    pub(crate) fn error(&self) -> SinkError {
        if self.pause.is_zero() { SinkError::Busy } else { SinkError::Unavailable(self.reason.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_shrink_only_when_no_record_was_at_fault() {
        let first = Requests::default();
        let mut guilty = first.next(Mode::Alone);
        guilty.note_refusal();
        assert_eq!(guilty.next(Mode::Together), first);
        let mut requests = first;
        for _ in 0..20 {
            let smaller = requests.next(Mode::Alone).next(Mode::Together);
            assert!(smaller.bytes < requests.bytes || smaller.bytes == REQUEST_BYTES_MIN);
            requests = smaller;
        }
        assert_eq!(requests.bytes, REQUEST_BYTES_MIN);
        assert_eq!(requests.next(Mode::Together), requests, "a failed producer teaches nothing about sizes");
    }

    #[test]
    fn a_pause_begins_when_it_is_first_asked_for() {
        let now = Instant::now();
        let mut restart = Restart::after_failure("down".to_owned(), Mode::Together);
        assert!(!restart.is_due(now));
        assert!(!restart.is_due(now + PAUSE / 2));
        assert!(restart.is_due(now + PAUSE));
        assert!(Restart::at_once("refused".to_owned(), Mode::Alone).is_due(now));
    }
}
