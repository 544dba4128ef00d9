//! The audit: takes every message a sink holds and compares the lot with the ledger.
//! - Invariants: `look` must be called in the order of the sink within each stream (partition or shard); streams may alternate.
//! - Limits: memory is some bits per message, and one number per device and stream.

use std::collections::HashMap;

use crate::ledger::Ledger;
use crate::number;
use crate::stamp::{self, Finding};
use crate::verify::VerifyReport;
use crate::verify::bits::Bits;

/// Examples in a report.
const EXAMPLES_MAX: usize = 20;

/// One message of a sink.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// Partition or shard.
    pub(super) stream: u32,
    /// Device that the sink names.
    pub(super) device_id: &'a str,
    /// Body.
    pub(super) body: &'a [u8],
    /// Stamp, where it came as a property.
    pub(super) stamp: Option<&'a [u8]>,
    /// Shard and offset, where the sink tells.
    pub(super) place: Option<(u32, u64)>,
}

/// What an audit knows so far.
pub(super) struct Audit<'a> {
    ledger: &'a Ledger,
    devices: HashMap<&'a str, u32>,
    places: Bits,
    found: Bits,
    /// Highest number seen, by device and stream.
    highest: HashMap<(u32, u32), u64>,
    report: VerifyReport,
}

impl<'a> Audit<'a> {
    /// An audit against a ledger.
    pub(super) fn new(ledger: &'a Ledger) -> Self {
        let ids = ledger.devices.keys().map(String::as_str);
        let devices = ids.zip(0_u32..).collect();
        Self {
            ledger,
            devices,
            places: Bits::default(),
            found: Bits::default(),
            highest: HashMap::new(),
            report: VerifyReport::default(),
        }
    }

    /// Judges a message; `Some(number of the device, number of the message)` when it is one of this run.
    pub(super) fn identify(&mut self, seen: &Seen<'_>) -> Option<(u32, u64)> {
        let finding = match seen.stamp {
            Some(value) => stamp::find_in_property(seen.device_id, value, seen.body),
            None => stamp::find_in_body(seen.device_id, seen.body),
        };
        let device = self.devices.get(seen.device_id).copied();
        match (finding, device) {
            (Finding::Intact { run, sequence }, Some(device)) if run == self.ledger.run => Some((device, sequence)),
            (Finding::Corrupt, Some(_)) => {
                self.report.corrupt += 1;
                self.other_example(|| format!("{} corrupt at {:?}", seen.device_id, seen.place));
                None
            }
            _ => {
                self.report.foreign += 1;
                None
            }
        }
    }

    /// Takes a message that was identified.
    pub(super) fn take(&mut self, stream: u32, device: u32, sequence: u64, place: Option<(u32, u64)>) {
        let is_new_place = match place {
            Some((shard, offset)) => self.places.insert(shard, offset),
            None => {
                self.report.without_offset += 1;
                true
            }
        };
        if !is_new_place {
            self.report.duplicated += 1;
            self.other_example(|| format!("device {device} number {sequence} twice at {place:?}"));
            return;
        }
        if !self.found.insert(device, sequence) {
            self.report.sent_again += 1;
            return;
        }
        let highest = self.highest.entry((device, stream)).or_insert(sequence);
        if sequence < *highest {
            let after = *highest;
            self.report.reordered += 1;
            self.other_example(|| format!("device {device} number {sequence} after {after} in stream {stream}"));
        } else {
            *highest = sequence;
        }
    }

    /// Judges and takes a message.
    pub(super) fn look(&mut self, seen: &Seen<'_>) {
        if let Some((device, sequence)) = self.identify(seen) {
            self.take(seen.stream, device, sequence, seen.place);
        }
    }

    /// Compares with the ledger.
    pub(super) fn finish(mut self, source: String, allow_duplicates: bool) -> VerifyReport {
        let mut found_acknowledged = 0;
        for (id, entry) in &self.ledger.devices {
            let Some(&device) = self.devices.get(id.as_str()) else { continue };
            self.report.acknowledged += entry.acknowledged.len();
            for sequence in entry.acknowledged.numbers() {
                if self.found.contains(device, sequence) {
                    found_acknowledged += 1;
                    continue;
                }
                self.report.lost += 1;
                if self.report.lost_examples.len() < EXAMPLES_MAX {
                    self.report.lost_examples.push(format!("{id} {sequence}"));
                }
            }
        }
        let mut report = self.report;
        report.run = format!("{:08x}", self.ledger.run);
        report.source = source;
        report.devices = number::wide(self.ledger.devices.len());
        report.found = self.found.len();
        report.unacknowledged_found = report.found.saturating_sub(found_acknowledged);
        report.ledger_lines_skipped = self.ledger.lines_skipped;
        let is_clean = report.lost == 0 && report.reordered == 0 && report.corrupt == 0;
        report.is_ok = is_clean && (allow_duplicates || report.duplicated == 0);
        report
    }

    fn other_example(&mut self, text: impl FnOnce() -> String) {
        if self.report.other_examples.len() < EXAMPLES_MAX {
            self.report.other_examples.push(text());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Acknowledged, Entry};

    fn ledger() -> Ledger {
        let acknowledged = Acknowledged { below: 3, ranges: vec![] };
        let entry = Entry { device: "d".to_owned(), sent: 5, acknowledged };
        Ledger { run: 7, devices: [("d".to_owned(), entry)].into(), lines_skipped: 0 }
    }

    /// Messages as (number, offset), on one stream.
    fn audit(messages: &[(u64, u64)]) -> VerifyReport {
        let ledger = ledger();
        let mut audit = Audit::new(&ledger);
        for &(sequence, offset) in messages {
            let mut body = Vec::new();
            stamp::write_body(7, "d", sequence, b"{}", &mut body);
            audit.look(&Seen { stream: 0, device_id: "d", body: &body, stamp: None, place: Some((0, offset)) });
        }
        audit.finish(String::new(), false)
    }

    #[test]
    fn what_is_complete_and_in_order_is_right() {
        let report = audit(&[(0, 0), (1, 1), (2, 2), (3, 3)]);
        assert!(report.is_ok, "{report:?}");
        assert_eq!((report.acknowledged, report.found, report.unacknowledged_found), (3, 4, 1));
    }

    #[test]
    fn each_fault_is_told_apart() {
        let report = audit(&[(0, 0), (2, 1)]);
        assert_eq!((report.lost, report.is_ok, report.lost_examples), (1, false, vec!["d 1".to_owned()]));
        let report = audit(&[(0, 0), (1, 1), (1, 1), (2, 2)]);
        assert_eq!((report.duplicated, report.sent_again, report.is_ok), (1, 0, false));
        let report = audit(&[(0, 0), (1, 1), (1, 2), (2, 3)]);
        assert_eq!((report.duplicated, report.sent_again, report.is_ok), (0, 1, true));
        let report = audit(&[(0, 0), (2, 1), (1, 2)]);
        assert_eq!((report.reordered, report.is_ok), (1, false));
    }

    #[test]
    fn a_delivery_again_from_an_earlier_offset_is_no_reordering() {
        let report = audit(&[(0, 0), (1, 1), (2, 2), (1, 1), (2, 2), (3, 3)]);
        assert_eq!((report.reordered, report.duplicated, report.lost), (0, 2, 0));
    }

    #[test]
    fn other_runs_and_other_bodies_are_not_ours() {
        let ledger = ledger();
        let mut audit = Audit::new(&ledger);
        let mut other = Vec::new();
        stamp::write_body(8, "d", 0, b"{}", &mut other);
        let mut corrupt = Vec::new();
        stamp::write_body(7, "d", 0, b"{\"a\":1}", &mut corrupt);
        let last = corrupt.len() - 2;
        corrupt[last] = b'2';
        for body in [&other[..], b"hello", &corrupt] {
            audit.look(&Seen { stream: 0, device_id: "d", body, stamp: None, place: None });
        }
        let report = audit.finish(String::new(), true);
        assert_eq!((report.foreign, report.corrupt, report.found), (2, 1, 0));
    }
}
