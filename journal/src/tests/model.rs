//! Random histories against a model: a list of batches and the offset up to which they were acknowledged.
//! - Invariants: after any history nothing acknowledged is lost, nothing is read that was not appended, order is kept.

use std::ops::Range;
use std::sync::Arc;

use millrace_model::{Batch, Offset};
use proptest::prelude::*;

use super::{Rig, SEGMENT, batch, read_all, tiny_config, wide_config};
use crate::config::JournalConfig;
use crate::reader::Reader;
use crate::storage::simulated::{Dice, SimulatedDisk};

const ROOM: usize = 1 << 20;

#[derive(Debug, Clone)]
enum Step {
    Append { messages: usize, body_bytes: usize },
    Turn,
    Trim { quarter: u64 },
    Read,
    Kill,
    PowerCut { seed: u64 },
    FailCall { number: u64 },
    FillDisk,
    FreeDisk,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1_usize..6, 0_usize..400).prop_map(|(messages, body_bytes)| Step::Append { messages, body_bytes }),
        8 => Just(Step::Turn),
        2 => (0_u64..5).prop_map(|quarter| Step::Trim { quarter }),
        4 => Just(Step::Read),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(|seed| Step::PowerCut { seed }),
        3 => (0_u64..12).prop_map(|number| Step::FailCall { number }),
        1 => Just(Step::FillDisk),
        1 => Just(Step::FreeDisk),
    ]
}

struct World {
    disk: SimulatedDisk,
    config: JournalConfig,
    rig: Rig,
    reader: Reader,
    /// All that was appended and may still be there, in order.
    batches: Vec<Arc<Batch>>,
    acknowledged: Offset,
    trimmed: Offset,
    /// Unacknowledged messages that a power cut took from between others; they stay missing.
    torn: Vec<Range<Offset>>,
    appended: u64,
}

impl World {
    fn new(config: JournalConfig) -> Self {
        let disk = SimulatedDisk::new(ROOM);
        let rig = Rig::open(&disk, &config, Offset(0)).unwrap();
        let reader = rig.reader(Offset(0));
        let (batches, offset) = (Vec::new(), Offset(0));
        Self {
            disk,
            config,
            rig,
            reader,
            batches,
            acknowledged: offset,
            trimmed: offset,
            torn: Vec::new(),
            appended: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Append { messages, body_bytes } => {
                self.appended += 1;
                let sealed = batch(self.rig.appender.next_offset(), messages, body_bytes, self.appended);
                self.batches.extend(self.rig.appender.append(sealed).ok());
            }
            Step::Turn => drop(self.rig.writer.turn()),
            Step::Trim { quarter } => {
                let below = Offset(self.acknowledged.0 * quarter / 4);
                self.trimmed = self.trimmed.max(below);
                self.rig.shared.trim_below.fetch_max(below.0, std::sync::atomic::Ordering::AcqRel);
            }
            Step::Read => self.read(),
            Step::Kill => {
                self.disk.kill();
                self.reopen();
            }
            Step::PowerCut { seed } => {
                self.disk.power_cut(&mut Dice(seed));
                self.reopen();
            }
            Step::FailCall { number } => self.disk.fail_call(number),
            Step::FillDisk => self.disk.set_capacity(0),
            Step::FreeDisk => self.disk.set_capacity(ROOM),
        }
        self.acknowledged = self.acknowledged.max(self.rig.durable());
    }

    /// What the reader gives is what was appended there, and is acknowledged.
    fn read(&mut self) {
        while let Ok(Some(found)) = self.reader.next() {
            let known = self.batches.iter().find(|batch| batch.base() == found.base());
            assert_eq!(known, Some(&found));
            assert!(found.end() <= self.rig.durable());
        }
    }

    fn reopen(&mut self) {
        self.disk.stop_failing();
        self.disk.set_capacity(ROOM);
        self.rig = Rig::open(&self.disk, &self.config, Offset(0)).unwrap();
        let next = self.rig.recovery.next;
        assert!(next >= self.acknowledged, "{next} of {} acknowledged", self.acknowledged);
        for lost in &self.rig.recovery.quarantined {
            let (start, end) = (lost.offsets.start, lost.offsets.end);
            let is_known = self.torn.contains(&lost.offsets);
            self.torn.push(lost.offsets.clone());
            assert!(
                is_known || start >= self.acknowledged || start == end,
                "acknowledged messages {start}..{end} were lost"
            );
            self.batches.retain(|batch| batch.base() < start || batch.base() >= end);
        }
        self.batches.retain(|batch| batch.base() < next);
        self.check_all();
        let position = self.reader.position();
        assert!(position <= next);
        self.reader = self.rig.reader(position);
    }

    /// All that may not have been trimmed is there, and nothing else.
    fn check_all(&self) {
        let oldest = self.rig.shared.segments.oldest().unwrap_or(self.rig.recovery.next);
        let found = read_all(&mut self.rig.reader(Offset(0)));
        let expected: Vec<_> = self.batches.iter().filter(|batch| batch.base() >= oldest).cloned().collect();
        assert!(oldest <= self.trimmed, "{oldest} is the oldest, {} was trimmed", self.trimmed);
        assert_eq!(found, expected);
    }
}

fn check(config: JournalConfig, steps: &[Step]) {
    let mut world = World::new(config);
    for step in steps {
        world.take(step);
    }
    world.take(&Step::Kill);
    world.take(&Step::Trim { quarter: 4 });
    world.take(&Step::Append { messages: 1, body_bytes: 1 });
    world.rig.writer.turn().unwrap();
    assert_eq!(world.rig.durable(), world.rig.appender.next_offset(), "it writes again when the disk does");
}

proptest! {
    #[test]
    fn nothing_acknowledged_is_lost(steps in proptest::collection::vec(step(), 1..120)) {
        check(tiny_config(), &steps);
    }

    #[test]
    fn nothing_acknowledged_is_lost_from_wide_segments(steps in proptest::collection::vec(step(), 1..120)) {
        check(wide_config(), &steps);
    }

    #[test]
    fn nothing_acknowledged_is_lost_within_a_bound(steps in proptest::collection::vec(step(), 1..120)) {
        check(JournalConfig { total_bytes_max: 5 * SEGMENT, queue_batches: 3, ..tiny_config() }, &steps);
    }
}
