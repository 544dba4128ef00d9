//! Every call to the disk fails once; full disks; failed syncs.

use millrace_model::Offset;

use super::{Rig, SEGMENT, SEGMENT_LENGTH, START, segment_path, tiny_config, wide_config};
use crate::config::JournalConfig;
use crate::shared::Health;
use crate::storage::simulated::{Dice, SimulatedDisk};

const ROOM: usize = 1 << 20;

/// Opens (again if the fault hits that), stores `count` batches (again if the fault hits one), trims and reads.
fn run_through(disk: &SimulatedDisk, config: &JournalConfig, count: u64) -> Rig {
    let open = || Rig::open(disk, config, Offset(0));
    let mut rig = open().or_else(|_| open()).unwrap();
    for seed in 0..count {
        rig.append(3, 200, seed).unwrap();
        let end = rig.appender.next_offset();
        while rig.durable() < end {
            let failed = rig.writer.turn().is_err();
            assert_eq!(failed, matches!(rig.shared.health(), Health::Stalled { .. }));
        }
        if seed == count / 2 {
            rig.shared.trim_below.store(rig.durable().0, std::sync::atomic::Ordering::Release);
        }
    }
    let mut reader = rig.reader(Offset(0));
    while reader.position() < rig.durable() {
        // A read that fails leaves the position where it was.
        drop(reader.next());
    }
    rig
}

#[test]
fn any_single_failing_call_is_survived() {
    each_call_fails_once(&tiny_config());
}

#[test]
fn any_single_failing_call_is_survived_with_zeros_written_ahead() {
    each_call_fails_once(&wide_config());
}

fn each_call_fails_once(config: &JournalConfig) {
    let mut number = 0;
    loop {
        let disk = SimulatedDisk::new(ROOM);
        drop(run_through(&disk, config, 2));
        disk.fail_call(number);
        let rig = run_through(&disk, config, 24);
        let fired = disk.stop_failing();
        let durable = rig.durable();
        let oldest = rig.shared.segments.oldest().unwrap();
        let before = rig.read_all(oldest);
        drop(rig);
        disk.power_cut(&mut Dice(number));
        let again = Rig::open(&disk, config, Offset(0)).unwrap();
        assert_eq!(again.recovery.next, durable, "call {number}");
        assert_eq!(again.recovery.quarantined, [], "call {number}");
        let after = again.read_all(Offset(0));
        assert!(after.ends_with(&before), "call {number}");
        if !fired {
            break;
        }
        number += 1;
    }
    assert!(number > 100, "only {number} calls were made");
}

#[test]
fn a_failed_sync_leaves_the_segment_behind() {
    let disk = SimulatedDisk::new(ROOM);
    let mut rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    let first = rig.store(3, 100, 1);
    let second = rig.append(2, 100, 2).unwrap();
    // The next calls are the write and its sync.
    disk.fail_call(1);
    rig.writer.turn().unwrap_err();
    assert!(disk.stop_failing());
    assert_eq!(rig.durable(), first.end());
    assert!(matches!(rig.shared.health(), Health::Stalled { .. }));
    assert_eq!(rig.read_all(Offset(0)), std::slice::from_ref(&first));

    rig.writer.turn().unwrap();
    assert_eq!(rig.shared.health(), Health::Healthy);
    assert!(disk.names().contains(&segment_path(3)), "the rest is in a fresh segment");
    let third = rig.store(1, 100, 3);
    // The cache still shows the lost write in the old segment; it must not count.
    disk.power_cut(&mut Dice(5));
    let rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    assert_eq!(rig.read_all(Offset(0)), [first, second, third]);
    assert_eq!(rig.recovery.quarantined, []);
}

#[test]
fn zeros_that_fail_leave_the_segment_behind_and_nobody_waits_for_them() {
    let disk = SimulatedDisk::new(ROOM);
    let mut rig = Rig::open(&disk, &wide_config(), Offset(0)).unwrap();
    let first = rig.store(3, 100, 1);
    // The next calls are the write, its sync, the zeros and theirs.
    disk.fail_call(3);
    let second = rig.store(9, 1700, 2);
    assert!(disk.stop_failing());
    assert_eq!(rig.shared.health(), Health::Healthy);
    let third = rig.store(2, 100, 3);
    assert!(disk.names().contains(&segment_path(12)), "it is in a fresh segment");
    disk.power_cut(&mut Dice(3));
    let rig = Rig::open(&disk, &wide_config(), Offset(0)).unwrap();
    assert_eq!((rig.recovery.truncated_bytes, rig.recovery.quarantined.len()), (0, 0));
    assert_eq!(rig.read_all(Offset(0)), [first, second, third]);
}

#[test]
fn zeros_never_touch_records_and_end_with_the_segment() {
    let disk = SimulatedDisk::new(ROOM);
    let config = wide_config();
    let mut rig = Rig::open(&disk, &config, Offset(0)).unwrap();
    let mut stored = Vec::new();
    let mut records = Vec::new();
    while disk.names().len() == 1 {
        // One that fits in its block, and one that goes over several.
        let (messages, body_bytes) = if stored.len() % 2 == 0 { (1, 10) } else { (9, 600) };
        stored.push(rig.store(messages, body_bytes, 4));
        let bytes = disk.contents(&segment_path(0));
        assert!(bytes[START..].starts_with(&records), "what was written stays");
        let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        records = bytes[START..end].to_vec();
        assert_eq!(bytes.len(), usize::try_from(config.segment_bytes).unwrap());
    }
    assert_eq!(rig.read_all(Offset(0)), stored);
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_made_safe_before_it_is_read() {
    let disk = SimulatedDisk::new(ROOM);
    let mut rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    let first = rig.store(3, 100, 1);
    let second = rig.append(2, 100, 2).unwrap();
    disk.fail_call(1);
    rig.writer.turn().unwrap_err();
    disk.kill();
    disk.stop_failing();
    let rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    assert_eq!(rig.read_all(Offset(0)), [first.clone(), second.clone()]);
    // A sink may now have seen the second batch, so it has to stay.
    disk.power_cut(&mut Dice(1));
    let rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    assert_eq!(rig.read_all(Offset(0)), [first, second]);
}

#[test]
fn a_full_disk_stalls_and_a_freed_one_resumes() {
    let disk = SimulatedDisk::new(3 * SEGMENT_LENGTH + 100);
    let config = JournalConfig { recent_bytes: 1 << 20, ..tiny_config() };
    let mut rig = Rig::open(&disk, &config, Offset(0)).unwrap();
    let mut stored = 0;
    while rig.append(4, 200, stored).is_some() {
        stored += u64::from(rig.writer.turn().is_ok());
    }
    assert!(rig.appender.is_full());
    let Health::Stalled { reason, since } = rig.shared.health() else { panic!("not stalled") };
    assert!(reason.contains("no room"), "{reason}");
    rig.writer.turn().unwrap_err();
    assert!(matches!(rig.shared.health(), Health::Stalled { since: still, .. } if still == since));
    assert_eq!(rig.read_all(Offset(0)).len(), usize::try_from(stored).unwrap(), "reading goes on");

    rig.shared.trim_below.store(rig.durable().0, std::sync::atomic::Ordering::Release);
    rig.writer.turn().unwrap();
    while rig.durable() < rig.appender.next_offset() {
        rig.writer.turn().unwrap();
    }
    assert_eq!(rig.shared.health(), Health::Healthy);
    assert!(rig.append(1, 1, 1).is_some());
}

#[test]
fn bounds_on_space_count_as_full() {
    for config in [
        JournalConfig { total_bytes_max: 2 * SEGMENT, ..tiny_config() },
        JournalConfig { keep_free_bytes: 1 << 20, ..tiny_config() },
    ] {
        let disk = SimulatedDisk::new((1 << 20) + 2 * SEGMENT_LENGTH);
        let mut rig = Rig::open(&disk, &config, Offset(0)).unwrap();
        while rig.append(4, 200, 0).is_some() {
            drop(rig.writer.turn());
        }
        assert_eq!(disk.names().len(), 2);
        assert!(matches!(rig.shared.health(), Health::Stalled { .. }));
    }
}

#[test]
fn a_batch_larger_than_a_segment_gets_its_own() {
    let disk = SimulatedDisk::new(ROOM);
    let mut rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    let stored = [rig.store(2, 10, 1), rig.store(9, 3000, 2), rig.store(2, 10, 3)];
    assert_eq!(rig.read_all(Offset(0)), stored);
    assert_eq!(disk.names().iter().filter(|name| name.extension().is_some_and(|end| end == "journal")).count(), 3);
}

#[test]
fn offsets_below_the_floor_are_never_given_again() {
    let disk = SimulatedDisk::new(ROOM);
    let mut rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    let first = rig.store(3, 10, 1);
    let mut rig = Rig::open(&disk, &tiny_config(), Offset(10)).unwrap();
    assert_eq!(rig.recovery.next, Offset(10));
    assert_eq!(rig.recovery.quarantined.len(), 1);
    assert_eq!(rig.read_all(Offset(0)), std::slice::from_ref(&first));
    let second = rig.store(1, 10, 2);
    assert_eq!(second.base(), Offset(10));
    assert_eq!(rig.read_all(Offset(0)), [first, second.clone()]);
    assert_eq!(rig.read_all(Offset(5)), [second]);
}
