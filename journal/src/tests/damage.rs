//! Torn ends, flipped bits, zeroed sectors, corrupt middles, strays.

use std::sync::Arc;

use millrace_model::{Batch, Offset};

use super::{Rig, START, batch, segment_path, tiny_config};
use crate::encode::Encoder;
use crate::error::JournalError;
use crate::segment::SegmentHeader;
use crate::storage::simulated::SimulatedDisk;

const ROOM: usize = 1 << 20;

/// A journal with one segment of four batches: its bytes, the batches, and where each record ends.
fn four() -> (Vec<u8>, Vec<Arc<Batch>>, Vec<usize>) {
    let disk = SimulatedDisk::new(ROOM);
    let mut rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    let batches: Vec<_> = [(3, 150), (2, 100), (4, 60), (1, 20)]
        .into_iter()
        .map(|(messages, body_bytes)| rig.store(messages, body_bytes, 9))
        .collect();
    drop(rig);
    let bytes = disk.contents(&segment_path(0));
    let tag = SegmentHeader::decode_twice(&bytes).0.unwrap().tag;
    let mut encoder = Encoder::new();
    let ends = batches
        .iter()
        .map(|batch| {
            encoder.append(batch, tag, u64::MAX).unwrap();
            START + encoder.bytes().len()
        })
        .collect();
    assert_eq!(&bytes[START..START + encoder.bytes().len()], encoder.bytes());
    (bytes, batches, ends)
}

/// Opens a journal whose only segment has these bytes.
fn open(bytes: &[u8]) -> (SimulatedDisk, Rig) {
    let disk = SimulatedDisk::new(ROOM);
    disk.put(&segment_path(0), bytes);
    let rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    (disk, rig)
}

#[test]
fn an_end_cut_or_zeroed_at_any_byte_is_truncated() {
    let (bytes, batches, ends) = four();
    for cut in START..ends[3] {
        let whole = ends.iter().filter(|&&end| end <= cut).count();
        let mut zeroed = bytes.clone();
        zeroed[cut..].fill(0);
        for image in [&bytes[..cut], &zeroed[..]] {
            let (disk, mut rig) = open(image);
            // Padding that was cut off is no loss: the record before it is whole.
            let found = rig.read_all(Offset(0));
            assert!(found == batches[..whole] || found == batches[..=whole], "cut at {cut}");
            assert_eq!(rig.recovery.next, found.last().map_or(Offset(0), |last| last.end()));
            assert_eq!(rig.recovery.quarantined, []);
            // It goes on as if nothing had been, and the next opening finds nothing to cut.
            let more = rig.store(1, 5, 77);
            let again = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
            assert_eq!(again.recovery.truncated_bytes, 0);
            assert_eq!(again.read_all(Offset(0)), [&found[..], &[more]].concat());
        }
    }
}

#[test]
fn any_flipped_bit_costs_its_record_and_no_other() {
    let (bytes, batches, ends) = four();
    for bit in (START * 8)..(ends[3] * 8) {
        let mut image = bytes.clone();
        image[bit / 8] ^= 1 << (bit % 8);
        let hit = ends.iter().position(|&end| bit / 8 < end).unwrap();
        let (_, rig) = open(&image);
        let found = rig.read_all(Offset(0));
        if found == batches {
            // Padding.
            continue;
        }
        let mut expected = batches.clone();
        expected.remove(hit);
        assert_eq!(found, expected, "bit {bit}");
        if hit == 3 {
            assert!(rig.recovery.truncated_bytes > 0, "bit {bit}");
        } else {
            let lost = &rig.recovery.quarantined[..];
            assert_eq!(lost.len(), 1, "bit {bit}");
            assert_eq!(lost[0].offsets, batches[hit].base()..batches[hit].end(), "bit {bit}");
        }
    }
}

#[test]
fn a_damaged_middle_is_copied_aside_and_stays() {
    let (bytes, batches, ends) = four();
    let mut image = bytes.clone();
    image[ends[0]..ends[2]].fill(0xaa);
    let (disk, rig) = open(&image);
    let lost = &rig.recovery.quarantined[0];
    assert_eq!(lost.bytes, u64::try_from(ends[0]).unwrap()..u64::try_from(ends[2]).unwrap());
    assert_eq!(lost.offsets, batches[1].base()..batches[2].end());
    assert_eq!(disk.contents(lost.copy.as_ref().unwrap()), image[ends[0]..ends[2]]);
    assert_eq!(disk.contents(&segment_path(0)), image[..ends[3]]);
    assert_eq!(rig.read_all(Offset(4)), [batches[3].clone()]);
}

#[test]
fn zeroed_sectors_cost_what_they_held() {
    let (bytes, batches, ends) = four();
    for sector in 0..ends[3].div_ceil(512) {
        let mut image = bytes.clone();
        let range = sector * 512..(sector * 512 + 512).min(image.len());
        image[range.clone()].fill(0);
        let (_, rig) = open(&image);
        let start = |row: usize| row.checked_sub(1).map_or(START, |before| ends[before]);
        let expected: Vec<_> = (0..4)
            .filter(|&row| ends[row] <= range.start || start(row) >= range.end)
            .map(|row| batches[row].clone())
            .collect();
        assert_eq!(rig.read_all(Offset(0)), expected, "sector {sector}");
    }
}

#[test]
fn damage_that_comes_while_running_is_skipped_by_readers() {
    let (bytes, batches, ends) = four();
    for hit in 0..4 {
        let disk = SimulatedDisk::new(ROOM);
        disk.put(&segment_path(0), &bytes);
        let mut rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
        let mut image = bytes[..ends[3]].to_vec();
        image[ends[hit] - 20] ^= 1;
        disk.put(&segment_path(0), &image);
        let more = rig.store(2, 10, 1);
        let mut expected = batches.clone();
        expected.remove(hit);
        expected.push(more);
        assert_eq!(rig.read_all(Offset(0)), expected, "record {hit}");
        assert_eq!(rig.read_all(Offset(0)), expected, "record {hit}");
    }
}

#[test]
fn a_missing_segment_is_a_gap_that_is_reported() {
    let disk = SimulatedDisk::new(ROOM);
    let mut batches = Vec::new();
    for seed in 0..3 {
        let mut rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
        batches.push(rig.store(2, 10, seed));
    }
    crate::storage::Storage::remove(&disk, &segment_path(2)).unwrap();
    let rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    assert_eq!(rig.recovery.quarantined[0].offsets, Offset(2)..Offset(4));
    assert_eq!(rig.read_all(Offset(0)), [batches[0].clone(), batches[2].clone()]);
}

#[test]
fn a_damaged_header_costs_no_record() {
    let (bytes, batches, ends) = four();
    let mut image = bytes;
    for header in [0..64, 4096..START, 0..START] {
        image[header].fill(0xff);
        let (_, rig) = open(&image);
        assert_eq!(rig.read_all(Offset(0)), batches);
        assert_eq!(rig.recovery.quarantined[0].bytes, 0..4160);
    }
    // With the first record gone as well, nothing says what a record is: all is set aside.
    image[START..START + 4].fill(0);
    let (disk, rig) = open(&image);
    assert_eq!(rig.read_all(Offset(0)), []);
    assert_eq!((rig.recovery.truncated_bytes, rig.recovery.quarantined.len()), (0, 2));
    let copy = disk.contents(rig.recovery.quarantined[1].copy.as_ref().unwrap());
    assert!(image[START..].starts_with(&copy) && copy.len() > ends[3] - START - 64);
}

#[test]
fn foreign_segments_are_refused_and_strays_left_alone() {
    let (bytes, ..) = four();
    let header = SegmentHeader::decode_twice(&bytes).0.unwrap();
    let foreign = [
        SegmentHeader { version: 2, ..header },
        SegmentHeader { shard: millrace_model::ShardId(4), ..header },
        SegmentHeader { base: Offset(1), ..header },
    ];
    for header in foreign {
        let disk = SimulatedDisk::new(ROOM);
        disk.put(&segment_path(0), &header.encode_twice());
        let refused = Rig::open(&disk, &tiny_config(), Offset(0)).err();
        assert!(matches!(refused, Some(JournalError::Foreign { .. })), "{refused:?}");
    }
    let disk = SimulatedDisk::new(ROOM);
    disk.put(&segment_path(0), &bytes);
    disk.put(&segment_path(50), b"");
    disk.put(&segment_path(0).with_file_name("notes.txt"), b"x");
    disk.put(&segment_path(0).with_file_name("next.new"), b"x");
    let rig = Rig::open(&disk, &tiny_config(), Offset(0)).unwrap();
    assert_eq!(rig.recovery.strays.len(), 2);
    assert_eq!(rig.recovery.next, Offset(10));
    assert!(!disk.names().contains(&segment_path(0).with_file_name("next.new")));
}

#[test]
fn a_body_that_looks_like_a_record_is_not_taken_for_one() {
    // Whoever sends it does not know the segment's tag.
    let mut encoder = Encoder::new();
    encoder.append(&batch(Offset(2), 1, 10, 1), 0x1234_5678, u64::MAX).unwrap();
    let (bytes, batches, ends) = four();
    let mut image = bytes;
    let forged = encoder.bytes();
    image[ends[3]..ends[3] + forged.len()].copy_from_slice(forged);
    let (_, rig) = open(&image);
    assert_eq!(rig.read_all(Offset(0)), batches);
    assert!(rig.recovery.truncated_bytes > u64::try_from(forged.len() - 16).unwrap());
}
