//! Recorded traces: a CSV file as bodies with times, in memory, so that any row can be had again by its number.
//! - Shape: one body per row: a JSON object with the columns in order; empty cells are left out, numbers stay numbers.
//! - Invariants: the rows of a device are in order of time; rows with the same time keep the order of the file.
//! - Limits: `memory_bytes_max` of the plan.
//! - Errors: line number and column of the cell that can't be read.

mod time;

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context as _, Result, bail};

use crate::number;
use crate::plan::{Replay, TraceDevices};

/// All traces of a file.
#[derive(Debug)]
pub(crate) struct Traces {
    traces: Vec<Trace>,
    looped: bool,
}

/// The rows of one device.
#[derive(Debug, Default)]
struct Trace {
    rows: Vec<Row>,
    text: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// Since the first row of the file, already compressed.
    at_ns: u64,
    start: usize,
    end: usize,
}

/// Which columns are what.
struct Columns {
    names: Vec<String>,
    timestamp: usize,
    device: Option<usize>,
    apart: bool,
}

impl Traces {
    /// Reads a trace file.
    ///
    /// # Errors
    /// It can't be read, a time can't be understood, or it is larger than allowed.
    pub(crate) fn open(replay: &Replay) -> Result<Self> {
        let file = std::fs::File::open(&replay.file).with_context(|| format!("opening {}", replay.file.display()))?;
        Self::read(file, replay).with_context(|| format!("reading {}", replay.file.display()))
    }

    fn read(source: impl Read, replay: &Replay) -> Result<Self> {
        let mut reader = csv::Reader::from_reader(source);
        let columns = Columns::new(reader.headers()?, replay)?;
        let mut by_device: HashMap<String, usize> = HashMap::new();
        let mut traces: Vec<Trace> = Vec::new();
        let mut first_ms = None;
        let mut bytes = 0_u64;
        for record in reader.records() {
            let record = record?;
            let line = record.position().map_or(0, csv::Position::line);
            let cell = record.get(columns.timestamp).unwrap_or_default();
            let at_ms = time::parse(cell).with_context(|| format!("line {line}: {cell:?} is no time"))?;
            let first = *first_ms.get_or_insert(at_ms);
            let since = number::float(u64::try_from(at_ms.saturating_sub(first)).unwrap_or(0));
            let at_ns = number::count(since * 1e6 / replay.time_compression);
            for (device, body) in columns.bodies(&record) {
                bytes = bytes.saturating_add(number::wide(body.len() + size_of::<Row>()));
                let index = *by_device.entry(device).or_insert_with(|| {
                    traces.push(Trace::default());
                    traces.len() - 1
                });
                if let Some(trace) = traces.get_mut(index) {
                    trace.push(at_ns, body.as_bytes());
                }
            }
            if bytes > replay.memory_bytes_max {
                bail!("line {line}: the trace needs more than memory_bytes_max = {}", replay.memory_bytes_max);
            }
        }
        if traces.is_empty() {
            bail!("no rows");
        }
        for trace in &mut traces {
            trace.rows.sort_by_key(|row| row.at_ns);
        }
        Ok(Self { traces, looped: replay.looped })
    }

    /// When message `sequence` of a connection is due, in nanoseconds after the start; `None` when the trace is at its end.
    pub(crate) fn due_ns(&self, connection: u64, sequence: u64) -> Option<u64> {
        let trace = self.trace(connection)?;
        let length = number::wide(trace.rows.len());
        let (round, position) = (sequence.checked_div(length)?, sequence.checked_rem(length)?);
        if round > 0 && !self.looped {
            return None;
        }
        let row = trace.rows.get(number::index(position))?;
        Some(round.saturating_mul(trace.round_ns()).saturating_add(row.at_ns))
    }

    /// The body of message `sequence` of a connection.
    pub(crate) fn body(&self, connection: u64, sequence: u64) -> &[u8] {
        let body = || {
            let trace = self.trace(connection)?;
            let position = sequence.checked_rem(number::wide(trace.rows.len()))?;
            let row = trace.rows.get(number::index(position))?;
            trace.text.get(row.start..row.end)
        };
        body().unwrap_or_default()
    }

    fn trace(&self, connection: u64) -> Option<&Trace> {
        let index = connection.checked_rem(number::wide(self.traces.len()))?;
        self.traces.get(number::index(index))
    }
}

impl Trace {
    fn push(&mut self, at_ns: u64, body: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(body);
        self.rows.push(Row { at_ns, start, end: self.text.len() });
    }

    /// How long one round lasts: the trace and one mean gap, so that the first row does not fall on the last one.
    fn round_ns(&self) -> u64 {
        let first = self.rows.first().map_or(0, |row| row.at_ns);
        let last = self.rows.last().map_or(0, |row| row.at_ns);
        let gaps = number::wide(self.rows.len()).saturating_sub(1).max(1);
        let gap = (last - first) / gaps;
        last.saturating_add(gap.max(1_000_000))
    }
}

impl Columns {
    fn new(header: &csv::StringRecord, replay: &Replay) -> Result<Self> {
        let names: Vec<String> = header.iter().map(str::to_owned).collect();
        let find = |wanted: &Option<String>, otherwise: usize| match wanted {
            Some(name) => names
                .iter()
                .position(|column| column == name)
                .with_context(|| format!("no column {name:?}; there are {}", names.join(", "))),
            None => Ok(otherwise),
        };
        let timestamp = find(&replay.timestamp_column, 0)?;
        let device = match replay.devices {
            TraceDevices::Column => Some(find(&replay.device_column, 1)?),
            TraceDevices::EachColumn | TraceDevices::All => None,
        };
        if names.len() < 2 {
            bail!("a trace needs a column of times and at least one more");
        }
        Ok(Self { names, timestamp, device, apart: replay.devices == TraceDevices::EachColumn })
    }

    /// The bodies of one row, each with its device.
    fn bodies(&self, record: &csv::StringRecord) -> Vec<(String, String)> {
        let time = record.get(self.timestamp).unwrap_or_default();
        let cells = || {
            let cells = self.names.iter().zip(record.iter()).enumerate();
            let values = cells.filter(|&(index, _)| index != self.timestamp && Some(index) != self.device);
            values.map(|(_, (name, cell))| (name.as_str(), cell)).filter(|(_, cell)| !cell.is_empty())
        };
        let name = &self.names[self.timestamp];
        if self.apart {
            return cells().map(|(column, cell)| (column.to_owned(), object(name, time, [(column, cell)]))).collect();
        }
        let device = self.device.and_then(|device| record.get(device)).unwrap_or_default();
        vec![(device.to_owned(), object(name, time, cells()))]
    }
}

fn object<'a>(time_name: &str, time: &str, cells: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = format!("{{{}:{}", quoted(time_name), value(time));
    for (name, cell) in cells {
        text.push(',');
        text.push_str(&quoted(name));
        text.push(':');
        text.push_str(&value(cell));
    }
    text.push('}');
    text
}

/// A cell as JSON: a number where JSON can write it so, else a string.
fn value(cell: &str) -> String {
    match serde_json::from_str::<serde_json::Number>(cell) {
        Ok(_) => cell.to_owned(),
        Err(_) => quoted(cell),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, replay: &Replay) -> Result<Traces> {
        Traces::read(text.as_bytes(), replay)
    }

    const WIDE: &str = "time,site,power,note\n2020-01-01 00:00:00,a,1.5,\n2020-01-01 00:01:00,b,2,x\n\
                        2020-01-01 00:02:00,a,nan,\"y \"\"z\"\"\"\n";

    #[test]
    fn rows_go_to_the_device_they_name_with_compressed_time() {
        let replay = Replay { time_compression: 60.0, looped: true, ..Replay::default() };
        let traces = read(WIDE, &replay).unwrap();
        assert_eq!(traces.body(0, 0), br#"{"time":"2020-01-01 00:00:00","power":1.5}"#);
        assert_eq!(traces.body(0, 1), br#"{"time":"2020-01-01 00:02:00","power":"nan","note":"y \"z\""}"#);
        assert_eq!(traces.body(1, 0), br#"{"time":"2020-01-01 00:01:00","power":2,"note":"x"}"#);
        assert_eq!(traces.due_ns(0, 1), Some(2_000_000_000));
        assert_eq!(traces.due_ns(1, 0), Some(1_000_000_000));
        assert_eq!(traces.due_ns(0, 2), Some(4_000_000_000), "the second round starts one gap after the end");
    }

    #[test]
    fn columns_can_be_devices_and_a_trace_ends() {
        let replay = Replay { devices: TraceDevices::EachColumn, ..Replay::default() };
        let traces = read("t,a,b\n0,1,2\n1,,3\n", &replay).unwrap();
        assert_eq!(traces.body(1, 1), br#"{"t":1,"b":3}"#);
        assert_eq!(traces.due_ns(0, 1), None);
        assert_eq!(traces.due_ns(1, 1), Some(1_000_000_000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let named = Replay { device_column: Some("place".to_owned()), ..Replay::default() };
        let small = Replay { memory_bytes_max: 10, ..Replay::default() };
        for (text, replay, part) in [
            (WIDE, &named, "place"),
            (WIDE, &small, "memory_bytes_max"),
            ("t,d,v\nyesterday,a,1\n", &Replay::default(), "line 2"),
            ("t,d,v\n", &Replay::default(), "no rows"),
        ] {
            let problem = format!("{:#}", read(text, replay).unwrap_err());
            assert!(problem.contains(part), "{problem}");
        }
    }
}
