//! Files as a sink would write them, read back.

use std::sync::Arc;

use arrow::array::{BinaryArray, DictionaryArray, MapBuilder, StringArray, StringBuilder, UInt16Array, UInt64Array};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;

use super::*;
use crate::ledger::{Acknowledged, Entry, Ledger};
use crate::verify::VerifyReport;

fn ledger(devices: &[&str], acknowledged: u64) -> Ledger {
    let entry = |device: &&str| {
        let acknowledged = Acknowledged { below: acknowledged, ranges: vec![] };
        (device.to_string(), Entry { device: device.to_string(), sent: 9, acknowledged })
    };
    Ledger { run: 5, devices: devices.iter().map(entry).collect(), lines_skipped: 0 }
}

/// Writes rows of (device, shard, offset, number), sorted by device as a sink does; the stamp goes where it is told.
fn write(path: &Path, rows: &[(&str, u16, u64, u64)], in_property: bool) {
    let mut properties = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    let mut bodies = Vec::new();
    for &(device, _, _, sequence) in rows {
        let mut body = Vec::new();
        if in_property {
            body.extend_from_slice(b"plain text");
            let mut value = Vec::new();
            stamp::write(5, device, sequence, &body, &mut value);
            properties.keys().append_value(stamp::NAME);
            properties.values().append_value(String::from_utf8(value).unwrap());
        } else {
            stamp::write_body(5, device, sequence, b"{\"a\":1}", &mut body);
        }
        properties.append(true).unwrap();
        bodies.push(body);
    }
    let devices: DictionaryArray<Int32Type> = rows.iter().map(|row| row.0).collect();
    let devices: ArrayRef = Arc::new(devices);
    let batch = RecordBatch::try_from_iter([
        ("device_id", devices),
        ("shard", Arc::new(rows.iter().map(|row| row.1).collect::<UInt16Array>())),
        ("offset", Arc::new(rows.iter().map(|row| row.2).collect::<UInt64Array>())),
        ("body", Arc::new(bodies.iter().map(|body| Some(body.as_slice())).collect::<BinaryArray>())),
        ("properties", Arc::new(properties.finish())),
        ("other", Arc::new(rows.iter().map(|_| Some("x")).collect::<StringArray>())),
    ])
    .unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn verify(directory: &Path, ledger: &Ledger) -> VerifyReport {
    let mut audit = Audit::new(ledger);
    read(directory, &mut audit).unwrap();
    audit.finish(String::new(), false)
}

#[test]
fn files_in_folders_are_read_in_the_order_of_the_journal() {
    for in_property in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let first = [("a", 0, 1, 0), ("a", 0, 3, 1), ("b", 0, 0, 0), ("b", 0, 2, 1)];
        write(&directory.path().join("date=2026-01-01/hour=1/z.parquet"), &first, in_property);
        write(
            &directory.path().join("date=2026-01-01/hour=2/a.parquet"),
            &[("a", 0, 4, 2), ("b", 1, 0, 2)],
            in_property,
        );
        std::fs::create_dir(directory.path().join("_temporary")).unwrap();
        std::fs::write(directory.path().join("_temporary/half.parquet"), "PAR1").unwrap();
        let report = verify(directory.path(), &ledger(&["a", "b"], 3));
        assert!(report.is_ok, "{report:?}");
        assert_eq!((report.found, report.lost, report.reordered), (6, 0, 0));
    }
}

#[test]
fn rows_lost_and_rows_twice_are_told() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("1.parquet"), &[("a", 0, 0, 0), ("a", 0, 1, 1)], false);
    write(&directory.path().join("2.parquet"), &[("a", 0, 1, 1)], false);
    let report = verify(directory.path(), &ledger(&["a"], 3));
    assert_eq!((report.lost, report.duplicated, report.is_ok), (1, 1, false));
}

#[test]
fn a_half_file_under_a_complete_name_fails() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("1.parquet"), "PAR1").unwrap();
    let ledger = ledger(&["a"], 1);
    assert!(read(directory.path(), &mut Audit::new(&ledger)).is_err());
}
