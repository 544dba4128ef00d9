//! The ledger of a run: what was sent and what the server acknowledged, per device, so that it can be looked for afterwards.
//! - Shape: JSON lines. The first names the run; every other one is the whole truth about a device at its time, so the last one counts.
//! - Invariants: only appended to, at most about a second behind; a ledger whose writer was killed claims fewer acknowledgements
//!   than there were, never more. Several threads and processes write to one file, whole lines at a time.
//! - Limits: [`RANGES_MAX`] ranges per device; acknowledgements that would need more are not claimed.
//! - Errors: a last line cut short is skipped and counted.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// Names the format.
const FORMAT: &str = "millrace-ledger-1";
/// Gaps arise where the server refused messages or acknowledged out of order.
const RANGES_MAX: usize = 4_096;

/// The numbers of the acknowledged messages of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acknowledged {
    /// All below this.
    pub(crate) below: u64,
    /// And these: from, to (exclusive); sorted, apart from each other and above `below`.
    pub(crate) ranges: Vec<(u64, u64)>,
}

/// What the ledger says of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its id.
    pub(crate) device: String,
    /// Messages sent at least once: all numbers below.
    pub(crate) sent: u64,
    /// Messages acknowledged.
    pub(crate) acknowledged: Acknowledged,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: String,
    run: String,
}

/// A ledger as read.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The run it belongs to.
    pub(crate) run: u32,
    /// Its devices.
    pub(crate) devices: BTreeMap<String, Entry>,
    /// Lines that were no entries.
    pub(crate) lines_skipped: u64,
}

/// Appends to a ledger.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    lines: Vec<u8>,
}

impl Acknowledged {
    /// Adds one number.
    pub(crate) fn insert(&mut self, sequence: u64) {
        if sequence == self.below {
            self.below += 1;
            if let Some(&(from, to)) = self.ranges.first()
                && from == self.below
            {
                self.below = to;
                self.ranges.remove(0);
            }
            return;
        }
        if sequence > self.below {
            self.insert_range(sequence);
        }
    }

    fn insert_range(&mut self, sequence: u64) {
        let position = self.ranges.partition_point(|&(_, to)| to < sequence);
        let follows = self.ranges.get(position + 1).map(|&(from, _)| from);
        let has_room = self.ranges.len() < RANGES_MAX;
        match self.ranges.get_mut(position) {
            Some((from, to)) if *from <= sequence && sequence < *to => {}
            Some((_, to)) if *to == sequence => {
                *to += 1;
                if follows == Some(*to) {
                    let (_, end) = self.ranges.remove(position + 1);
                    if let Some((_, to)) = self.ranges.get_mut(position) {
                        *to = end;
                    }
                }
            }
            Some((from, _)) if *from == sequence + 1 => *from = sequence,
            _ if has_room => self.ranges.insert(position, (sequence, sequence + 1)),
            _ => {}
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.below + self.ranges.iter().map(|&(from, to)| to.saturating_sub(from)).sum::<u64>()
    }

    /// All of them in order.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        (0..self.below).chain(self.ranges.iter().flat_map(|&(from, to)| from..to))
    }
}

impl Writer {
    /// Starts a ledger, in place of what the file had.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn create(path: &Path, run: u32) -> Result<()> {
        let mut file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let head = Head { format: FORMAT.to_owned(), run: format!("{run:08x}") };
        let mut line = serde_json::to_vec(&head)?;
        line.push(b'\n');
        file.write_all(&line).with_context(|| format!("writing {}", path.display()))
    }

    /// Goes on with a ledger.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn append(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).open(path).with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { file, lines: Vec::new() })
    }

    /// Adds an entry; it is in the file after the next `flush`.
    ///
    /// # Errors
    /// None that an entry of text and numbers can cause.
    pub(crate) fn push(&mut self, entry: &Entry) -> Result<()> {
        serde_json::to_writer(&mut self.lines, entry)?;
        self.lines.push(b'\n');
        Ok(())
    }

    /// Writes what was added, in one call, so that lines of several writers don't mix.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if !self.lines.is_empty() {
            self.file.write_all(&self.lines).context("writing the ledger")?;
            self.lines.clear();
        }
        Ok(())
    }
}

impl Ledger {
    /// Reads a ledger.
    ///
    /// # Errors
    /// It can't be read or is none.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let mut lines = BufReader::new(file).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let head: Head = serde_json::from_str(&first).with_context(|| format!("{} is no ledger", path.display()))?;
        if head.format != FORMAT {
            bail!("{} has format {:?}, not {FORMAT:?}", path.display(), head.format);
        }
        let run = u32::from_str_radix(&head.run, 16).context("run id")?;
        let mut ledger = Self { run, ..Self::default() };
        for line in lines {
            let line = line.with_context(|| format!("reading {}", path.display()))?;
            match serde_json::from_str::<Entry>(&line) {
                Ok(entry) => {
                    ledger.devices.insert(entry.device.clone(), entry);
                }
                Err(_) => ledger.lines_skipped += 1,
            }
        }
        Ok(ledger)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::random::Random;

    #[test]
    fn any_order_of_acknowledgements_gives_the_set() {
        let mut random = Random::new(1, 1, 1);
        for _ in 0..200 {
            let mut acknowledged = Acknowledged::default();
            let mut expected = BTreeSet::new();
            for _ in 0..60 {
                let number = random.bits() % 40;
                acknowledged.insert(number);
                expected.insert(number);
            }
            assert_eq!(acknowledged.numbers().collect::<Vec<_>>(), expected.iter().copied().collect::<Vec<_>>());
            assert_eq!(acknowledged.len(), u64::try_from(expected.len()).unwrap());
        }
    }

    #[test]
    fn ranges_are_bounded_and_then_claim_less() {
        let mut acknowledged = Acknowledged::default();
        for number in 0..20_000 {
            acknowledged.insert(1 + number * 2);
        }
        assert_eq!(acknowledged.ranges.len(), RANGES_MAX);
    }

    #[test]
    fn the_last_entry_counts_and_a_torn_line_is_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        Writer::create(&path, 0xab).unwrap();
        let mut writer = Writer::append(&path).unwrap();
        for sent in [5, 9] {
            let acknowledged = Acknowledged { below: sent - 1, ranges: vec![] };
            writer.push(&Entry { device: "d".to_owned(), sent, acknowledged }).unwrap();
            writer.flush().unwrap();
        }
        writer.lines.extend_from_slice(b"{\"device\":\"d\",\"se");
        writer.flush().unwrap();
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!((ledger.run, ledger.devices["d"].acknowledged.len(), ledger.lines_skipped), (0xab, 8, 1));
        std::fs::write(&path, "{}\n").unwrap();
        assert!(Ledger::open(&path).is_err());
    }
}
