//! Decides whether a shard pauses after a turn. Pure: time is an argument.
//! - Shape: no pause while little is going on (answers at once), none while much is (no time to lose); in between, turns are spread
//!   [`TURN_INTERVAL`] apart, so that each serves many connections. After a turn that only acknowledged, [`ANSWERS_INTERVAL`]: those
//!   whose windows it opened send all at once.

use std::time::Instant;

use crate::limits::{ANSWERS_INTERVAL, BUSY_TURN_MESSAGES, PACE_MESSAGES_MIN, PACE_WINDOW, TURN_INTERVAL};

/// What one turn moved for the connections of the shard; what other doors submitted is not in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    pub(crate) messages: usize,
    pub(crate) acknowledgements: usize,
}

/// What a shard moved lately.
#[derive(Debug)]
pub(crate) struct Pace {
    window_start: Instant,
    /// Moved in the current window, and in the one before it.
    moved: usize,
    moved_before: usize,
    was_busy: bool,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { window_start: now, moved: 0, moved_before: 0, was_busy: false }
    }

    /// A turn that began at `start` moved so much. Answers when the next one may begin.
    pub(crate) fn after(&mut self, start: Instant, moved: Moved) -> Option<Instant> {
        let only_acknowledged = moved.messages == 0;
        let moved = moved.messages + moved.acknowledgements;
        if moved == 0 {
            // The control side woke the shard, or a device spoke to it. That says nothing of the load: two such turns between large ones
            // are no light load, which a pause would make those wait for.
            return None;
        }
        let elapsed = start.saturating_duration_since(self.window_start);
        if elapsed >= PACE_WINDOW {
            self.moved_before = if elapsed < 2 * PACE_WINDOW { self.moved } else { 0 };
            self.moved = 0;
            self.window_start = start;
        }
        self.moved += moved;
        let is_busy = moved >= BUSY_TURN_MESSAGES;
        // One small turn between large ones is a gap in the arrivals, not light load.
        let was_busy = std::mem::replace(&mut self.was_busy, is_busy);
        let is_light = !is_busy && !was_busy;
        if is_busy && only_acknowledged {
            return Some(start + ANSWERS_INTERVAL);
        }
        let is_idle = self.moved.max(self.moved_before) < PACE_MESSAGES_MIN;
        (is_light && !is_idle).then(|| start + TURN_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Turns every millisecond that move so many; how many of the last half of them pause.
    fn pauses(moved: &[usize]) -> usize {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let paused: Vec<_> = moved
            .iter()
            .zip(0_u64..)
            .map(|(&messages, turn)| {
                let moved = Moved { messages, acknowledgements: 0 };
                pace.after(start + Duration::from_millis(turn), moved).is_some()
            })
            .collect();
        paused[paused.len() / 2..].iter().filter(|paused| **paused).count()
    }

    #[test]
    fn only_light_load_pauses() {
        assert_eq!(pauses(&[1; 200]), 0, "a lone device is answered at once");
        assert_eq!(pauses(&[10; 200]), 100, "light load waits for company");
        assert_eq!(pauses(&[500; 200]), 0, "heavy load does not wait");
        assert_eq!(pauses(&[500, 3].repeat(100)), 0, "nor do the gaps in it");
        assert_eq!(pauses(&[500, 0, 0, 3, 0, 0].repeat(50)), 0, "nor what the control side has to say");
        assert_eq!(pauses(&[10, 0].repeat(100)), 50, "which does not make light load heavy");
    }

    #[test]
    fn those_who_were_acknowledged_are_read_together() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut after = |messages, acknowledgements| pace.after(start, Moved { messages, acknowledgements });
        assert_eq!(after(0, 160), Some(start + ANSWERS_INTERVAL));
        assert_eq!(after(160, 0), None, "what they sent goes to the journal at once");
        assert_eq!(after(160, 160), None, "who sends all the time is not made to wait");
    }
}
