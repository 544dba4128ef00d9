//! A rule for one device: (state, message or time) -> fired, cleared or nothing. Decides, never acts.
//! - Units: milliseconds since 1970.
//! - Invariants: same input, same output. Fired and cleared alternate; two firings are at least the cooldown apart.
//!   A rule with hysteresis keeps its state between the two bounds. Bounds are exclusive: 30 is not above 30.
//! - Not here: which devices there are and when silence is looked at ([`crate::engine`]).

use millrace_model::Timestamp;

use crate::config::{Aggregate, RuleConfig, RuleKind, Severity};
use crate::event::{Cause, EventWindow};
use crate::path::{Path, PathTree};
use crate::window::{Window, width_ms};

/// A bound with its hysteresis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    Above { fire: f64, clear: Option<f64> },
    Below { fire: f64, clear: Option<f64> },
}

impl Bound {
    fn fires(self, value: f64) -> bool {
        match self {
            Self::Above { fire, .. } => value > fire,
            Self::Below { fire, .. } => value < fire,
        }
    }

    fn clears(self, value: f64) -> bool {
        match self {
            Self::Above { clear: Some(clear), .. } => value < clear,
            Self::Below { clear: Some(clear), .. } => value > clear,
            Self::Above { clear: None, .. } | Self::Below { clear: None, .. } => !self.fires(value),
        }
    }

    const fn number(self) -> f64 {
        match self {
            Self::Above { fire, .. } | Self::Below { fire, .. } => fire,
        }
    }
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Condition {
    Silence { seconds: u64 },
    Threshold { slot: usize, bound: Bound },
    Window { slot: Option<usize>, aggregate: Aggregate, seconds: u64, bound: Bound },
}

/// A rule, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) severity: Severity,
    pub(crate) summary: String,
    pub(crate) condition: Condition,
    pub(crate) cooldown_ms: i64,
    /// Digest of name and of what the stored state depends on: state is kept over a restart only when it is the same.
    pub(crate) fingerprint: u64,
}

/// Why a rule fires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Firing {
    /// The message that fired it; for silence the last one before it.
    pub(crate) cause: Cause,
    /// When.
    pub(crate) at: Timestamp,
    /// NaN for silence.
    pub(crate) value: f64,
}

/// State of one rule for one device.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RuleState {
    pub(crate) firing: Option<Box<Firing>>,
    /// `i64::MIN` for never.
    pub(crate) fired_last: i64,
    pub(crate) window: Option<Box<Window>>,
    /// Whether the timetable of silences holds an entry for this.
    pub(crate) armed: bool,
}

impl Default for RuleState {
    fn default() -> Self {
        Self { firing: None, fired_last: i64::MIN, window: None, armed: false }
    }
}

/// What a rule decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// It began to fire.
    Fired(Firing),
    /// It ended; with the value that ended it (NaN for silence).
    Cleared(Firing, f64),
}

impl Rule {
    /// Compiles a rule of a valid configuration; `None` when it is not.
    pub(crate) fn new(config: &RuleConfig, paths: &mut PathTree) -> Option<Self> {
        let slot = config.value.as_deref().and_then(|text| Path::parse(text).ok()).map(|path| paths.add(&path));
        let bound = match (config.above, config.below) {
            (Some(fire), None) => Some(Bound::Above { fire, clear: config.clear_below }),
            (None, Some(fire)) => Some(Bound::Below { fire, clear: config.clear_above }),
            _ => None,
        };
        let condition = match config.kind {
            RuleKind::Silence => Condition::Silence { seconds: config.seconds? },
            RuleKind::Threshold => Condition::Threshold { slot: slot?, bound: bound? },
            RuleKind::Window => {
                let (aggregate, seconds) = (config.aggregate?, config.seconds?);
                Condition::Window { slot, aggregate, seconds, bound: bound? }
            }
        };
        Some(Self {
            name: config.name.clone(),
            severity: config.severity,
            summary: config.summary.clone(),
            condition,
            cooldown_ms: milliseconds(config.cooldown_seconds),
            fingerprint: fingerprint(config),
        })
    }

    /// Takes a message into account. `values` holds one number per path slot, NaN where the body has none.
    #[inline]
    pub(crate) fn observe(&self, state: &mut RuleState, cause: &Cause, values: &[f64]) -> Option<Change> {
        match self.condition {
            Condition::Silence { .. } => state.firing.take().map(|firing| Change::Cleared(*firing, f64::NAN)),
            Condition::Threshold { slot, bound } => {
                let value = *values.get(slot)?;
                self.decide(state, cause, cause.at, bound, value)
            }
            Condition::Window { slot, aggregate, seconds, bound } => {
                let value = slot.map_or(Some(0.0), |slot| values.get(slot).copied())?;
                if value.is_nan() {
                    return None;
                }
                let width = width_ms(seconds);
                let window = state.window.get_or_insert_with(|| Box::new(Window::new()));
                window.add(aggregate, width, cause.at.0, value);
                let value = window.aggregate(aggregate, width)?;
                // Few points mean nothing before a whole window has been seen.
                let young = cause.at.0.saturating_sub(window.since) < milliseconds(seconds);
                if young && aggregate == Aggregate::Count && matches!(bound, Bound::Below { .. }) {
                    return None;
                }
                self.decide(state, cause, cause.at, bound, value)
            }
        }
    }

    /// Whether time alone can end this alert: a count falls by itself when messages stop.
    pub(crate) const fn clears_by_time(&self) -> bool {
        matches!(self.condition, Condition::Window { aggregate: Aggregate::Count, bound: Bound::Above { .. }, .. })
    }

    /// Looks at a firing rule with [`Self::clears_by_time`] again at `now`.
    pub(crate) fn look_again(&self, state: &mut RuleState, last: &Cause, now: Timestamp) -> Option<Change> {
        let Condition::Window { aggregate, seconds, bound, .. } = self.condition else { return None };
        state.firing.as_ref()?;
        let window = state.window.as_mut()?;
        window.advance_to(width_ms(seconds), now.0);
        let value = window.aggregate(aggregate, width_ms(seconds))?;
        self.decide(state, last, now, bound, value)
    }

    /// When a device that was last heard at `quiet_since` counts as silent; `None` for other rules.
    pub(crate) fn silent_from(&self, state: &RuleState, quiet_since: i64) -> Option<i64> {
        let Condition::Silence { seconds } = self.condition else { return None };
        let due = quiet_since.saturating_add(milliseconds(seconds));
        Some(due.max(state.fired_last.saturating_add(self.cooldown_ms)))
    }

    /// Fires a silence that is due; `last` is the last message before it.
    pub(crate) fn fall_silent(&self, state: &mut RuleState, last: &Cause, now: Timestamp) -> Change {
        let firing = Firing { cause: *last, at: now, value: f64::NAN };
        state.firing = Some(Box::new(firing));
        state.fired_last = now.0;
        Change::Fired(firing)
    }

    fn decide(&self, state: &mut RuleState, cause: &Cause, at: Timestamp, bound: Bound, value: f64) -> Option<Change> {
        if let Some(firing) = &state.firing {
            let ended = bound.clears(value) && !value.is_nan();
            let change = Change::Cleared(**firing, value);
            return ended.then(|| {
                state.firing = None;
                change
            });
        }
        if !bound.fires(value) || at.0 < state.fired_last.saturating_add(self.cooldown_ms) {
            return None;
        }
        let firing = Firing { cause: *cause, at, value };
        state.firing = Some(Box::new(firing));
        state.fired_last = at.0;
        Some(Change::Fired(firing))
    }

    /// The bound, for the event.
    pub(crate) const fn threshold(&self) -> Option<f64> {
        match self.condition {
            Condition::Silence { .. } => None,
            Condition::Threshold { bound, .. } | Condition::Window { bound, .. } => Some(bound.number()),
        }
    }

    /// The window, for the event.
    pub(crate) const fn window(&self) -> Option<EventWindow> {
        match self.condition {
            Condition::Silence { seconds } => Some(EventWindow { aggregate: None, seconds }),
            Condition::Threshold { .. } => None,
            Condition::Window { aggregate, seconds, .. } => Some(EventWindow { aggregate: Some(aggregate), seconds }),
        }
    }
}

fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

/// Stable over restarts and versions of the program (FNV-1a), unlike the standard library's hasher.
fn fingerprint(config: &RuleConfig) -> u64 {
    let parts = (&config.name, &config.value, config.kind, config.aggregate, config.seconds);
    format!("{parts:?}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
