//! All rules over all devices: (message or time) -> decisions. Pure: time is an argument, nothing is sent or stored.
//! - Shape: body -> numbers at all paths (once) -> every rule in turn. Silences wait in a timetable: due time -> (device, rule),
//!   looked at only when due and put off when the device has spoken since, so a message costs them nothing.
//! - Invariants: a (device, rule) pair stands at most once in the timetable. Time in which the hub was down is no silence.
//! - Limits: at most [`DUE_PER_POLL_MAX`] timetable entries are looked at in one call.
//! - Hot path: [`Engine::observe`]: no allocation for a known device while nothing fires.

use std::collections::{BTreeMap, BTreeSet};

use millrace_model::{IdentityRef, Timestamp};

use crate::config::AlertsConfig;
use crate::devices::{Device, Devices};
use crate::event::Cause;
use crate::limits::DUE_PER_POLL_MAX;
use crate::path::PathTree;
use crate::rule::{Change, Condition, Rule};

/// Fineness of the timetable.
const TICK_MS: i64 = 100;

/// That something fired or cleared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    pub(crate) rule: usize,
    pub(crate) device: u32,
    pub(crate) change: Change,
    /// When it was decided, on the clock of the rule.
    pub(crate) at: Timestamp,
    /// The newest message of the device then.
    pub(crate) source: Cause,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) rules: Vec<Rule>,
    pub(crate) devices: Devices,
    /// Messages whose body was not readable although a rule asks for values.
    pub(crate) unreadable: u64,
    paths: PathTree,
    values: Vec<f64>,
    silences: bool,
    timetable: BTreeMap<i64, Vec<(u32, u16)>>,
    /// Firing rules that time alone can clear.
    falling: BTreeSet<(u32, u16)>,
    /// Where the next look at `falling` goes on.
    falling_from: (u32, u16),
    /// The tick of the last look at all of `falling`: time is passed after every batch, and many may be firing.
    falling_tick: i64,
    /// Messages from before this moment are followed by `downtime_ms` in which nobody could send.
    started: i64,
    downtime_ms: i64,
}

impl Engine {
    /// An engine for a valid configuration.
    pub(crate) fn new(config: &AlertsConfig) -> Self {
        let mut paths = PathTree::new();
        let rules: Vec<Rule> = config.rules.iter().filter_map(|rule| Rule::new(rule, &mut paths)).collect();
        Self {
            devices: Devices::new(config.devices_max, rules.len()),
            values: vec![f64::NAN; paths.slots()],
            silences: rules.iter().any(|rule| matches!(rule.condition, Condition::Silence { .. })),
            rules,
            unreadable: 0,
            paths,
            timetable: BTreeMap::new(),
            falling: BTreeSet::new(),
            falling_from: (0, 0),
            falling_tick: i64::MIN,
            started: i64::MIN,
            downtime_ms: 0,
        }
    }

    /// Says that nobody could send from `alive_until` to `now`. Before devices are restored.
    pub(crate) fn resume_at(&mut self, alive_until: i64, now: i64) {
        self.downtime_ms = now.saturating_sub(alive_until).max(0);
        self.started = now;
    }

    /// Puts back a device of an earlier run.
    pub(crate) fn restore(&mut self, mut device: Device) {
        device.quiet_since = device.quiet_since.saturating_add(self.downtime_ms);
        device.states.iter_mut().for_each(|state| state.armed = false);
        let Some(number) = self.devices.restore(device) else { return };
        self.arm(number);
        let Some(device) = self.devices.slot(number) else { return };
        for ((state, rule), index) in device.states.iter().zip(&self.rules).zip(0..) {
            if rule.clears_by_time() && state.firing.is_some() {
                self.falling.insert((number, index));
            }
        }
    }

    /// Takes one message of a device into account.
    #[inline]
    pub(crate) fn observe(&mut self, number: u32, cause: Cause, body: &[u8], out: &mut Vec<Decision>) {
        if !self.paths.scan(body, &mut self.values) {
            self.unreadable += 1;
        }
        let Some(device) = self.devices.slot_mut(number) else { return };
        let new = device.last.at.0 == i64::MIN;
        if cause.at >= device.last.at {
            device.last = cause;
        }
        let quiet = if cause.at.0 < self.started { cause.at.0.saturating_add(self.downtime_ms) } else { cause.at.0 };
        device.quiet_since = device.quiet_since.max(quiet);
        let mut cleared_silence = false;
        for ((rule, state), index) in self.rules.iter().zip(&mut device.states).zip(0_u16..) {
            let Some(change) = rule.observe(state, &cause, &self.values) else { continue };
            cleared_silence |= matches!(rule.condition, Condition::Silence { .. });
            if rule.clears_by_time() {
                match change {
                    Change::Fired(_) => self.falling.insert((number, index)),
                    Change::Cleared(..) => self.falling.remove(&(number, index)),
                };
            }
            out.push(Decision { rule: index.into(), device: number, change, at: cause.at, source: cause });
        }
        self.devices.touch(number);
        if self.silences && (new || cleared_silence) {
            self.arm(number);
        }
    }

    /// Puts every silence of a device that is neither firing nor in the timetable into it.
    fn arm(&mut self, number: u32) {
        let Some(device) = self.devices.slot_mut(number) else { return };
        for ((rule, state), index) in self.rules.iter().zip(&mut device.states).zip(0..) {
            if state.armed || state.firing.is_some() {
                continue;
            }
            if let Some(due) = rule.silent_from(state, device.quiet_since) {
                state.armed = true;
                self.timetable.entry(tick_after(due)).or_default().push((number, index));
            }
        }
    }

    /// Decides what time alone decides. `now` is a moment up to which every message is known.
    pub(crate) fn pass_time(&mut self, now: Timestamp, out: &mut Vec<Decision>) {
        let mut left = DUE_PER_POLL_MAX;
        while let Some(entry) = self.timetable.first_entry()
            && *entry.key() <= now.0.div_euclid(TICK_MS)
            && left > 0
        {
            let tick = *entry.key();
            let mut due = entry.remove();
            let rest = due.split_off(left.min(due.len()));
            left -= due.len();
            if !rest.is_empty() {
                self.timetable.insert(tick, rest);
            }
            for (number, index) in due {
                self.look_at_silence(number, index, now, out);
            }
        }
        self.look_at_falling(now, out);
    }

    fn look_at_silence(&mut self, number: u32, index: u16, now: Timestamp, out: &mut Vec<Decision>) {
        let Some(device) = self.devices.slot_mut(number) else { return };
        let (Some(rule), Some(state)) = (self.rules.get(usize::from(index)), device.states.get_mut(usize::from(index)))
        else {
            return;
        };
        state.armed = false;
        let Some(due) = rule.silent_from(state, device.quiet_since) else { return };
        if state.firing.is_some() {
            return;
        }
        if due > now.0 {
            state.armed = true;
            self.timetable.entry(tick_after(due)).or_default().push((number, index));
            return;
        }
        let change = rule.fall_silent(state, &device.last, now);
        out.push(Decision { rule: index.into(), device: number, change, at: now, source: device.last });
        self.devices.touch(number);
    }

    fn look_at_falling(&mut self, now: Timestamp, out: &mut Vec<Decision>) {
        let tick = now.0.div_euclid(TICK_MS);
        if self.falling.is_empty() || (self.falling_from == (0, 0) && tick == self.falling_tick) {
            return;
        }
        let some: Vec<(u32, u16)> = self.falling.range(self.falling_from..).take(DUE_PER_POLL_MAX).copied().collect();
        self.falling_from = match some.last() {
            Some(&(number, index)) if some.len() == DUE_PER_POLL_MAX => (number, index.saturating_add(1)),
            _ => {
                self.falling_tick = tick;
                (0, 0)
            }
        };
        for (number, index) in some {
            let Some(device) = self.devices.slot_mut(number) else { continue };
            let (Some(rule), Some(state)) =
                (self.rules.get(usize::from(index)), device.states.get_mut(usize::from(index)))
            else {
                continue;
            };
            if let Some(change) = rule.look_again(state, &device.last, now) {
                out.push(Decision { rule: index.into(), device: number, change, at: now, source: device.last });
                self.falling.remove(&(number, index));
                self.devices.touch(number);
            }
        }
    }

    /// The slot of a sender; `None` when there is no room for it.
    pub(crate) fn admit(&mut self, identity: &IdentityRef<'_>) -> Option<u32> {
        self.devices.admit(identity)
    }
}

/// The first tick at which `due` has passed.
const fn tick_after(due: i64) -> i64 {
    due.div_euclid(TICK_MS).saturating_add(1)
}

#[cfg(test)]
mod tests;
