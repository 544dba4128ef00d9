//! What stands in the files.

use arrow::array::Array as _;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMillisecondType};
use parquet::bloom_filter::Sbbf;

use super::*;
use crate::config::{ColumnConfig, ColumnKind};

fn written(config: ParquetConfig, deliveries: &[Delivery]) -> Bench {
    let mut bench = Bench::new(config);
    let mut sink = bench.started();
    bench.deliver_all(&mut sink, deliveries);
    Bench::drain(&mut sink);
    assert_eq!(sink.safe(SHARD), deliveries.last().unwrap().batch.end());
    bench
}

fn map(rows: &RecordBatch, row: usize) -> Vec<(String, Option<String>)> {
    let entries = rows["properties"].as_map().value(row);
    let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
    keys.iter().zip(values).map(|(key, value)| (key.unwrap().to_owned(), value.map(str::to_owned))).collect()
}

#[test]
fn every_part_of_a_message_comes_back() {
    let mut builder = BatchBuilder::new();
    let module = IdentityRef {
        device_id: "d",
        module_id: Some("m"),
        generation_id: "g",
        auth_method: r#"{"scope":"device"}"#,
        model_id: Some("dtmi:x;1"),
    };
    let bag = b"%24.mid=1&%24.cid=2&%24.uid=3&%24.ct=4&%24.ce=5&%24.to=6&%24.ctime=7&%24.exp=8&%24.ifid=9&%24.sub=10&%24.on=11\
        &a=1&b&c=&a=2&e%20f=g%26&h=sent";
    let (slot, time) = (&mut IdentitySlot::default(), Timestamp(HOUR + 5));
    builder.append(
        &Identity::new(&module).unwrap(),
        slot,
        MessageSource::TwinChangeEvents,
        time,
        [bag, b""],
        b"\x00\xff",
    );
    let slot = &mut IdentitySlot::default();
    builder.append(&identity("c"), slot, MessageSource::Telemetry, Timestamp(HOUR), [b"", b""], b"");
    let batch = Arc::new(builder.seal(SHARD, Offset(9)));
    let enrichments: Arc<[_]> = Arc::new([enrichment("h", "added"), enrichment("hub", "x")]);
    let bench = written(ParquetConfig::default(), &[Delivery { enrichments, ..delivery(&batch) }]);

    let rows = only(&bench);
    let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, crate::columns::FIXED_COLUMNS);
    assert_eq!(strings(&rows, "device_id"), some(&["c", "d"]));
    assert_eq!(strings(&rows, "module_id"), [None, Some("m".to_owned())]);
    assert_eq!(strings(&rows, "generation_id"), some(&["1", "g"]));
    assert_eq!(strings(&rows, "auth_method"), some(&["{}", r#"{"scope":"device"}"#]));
    assert_eq!(strings(&rows, "dt_dataschema"), [None, Some("dtmi:x;1".to_owned())]);
    assert_eq!(strings(&rows, "source"), some(&["Telemetry", "twinChangeEvents"]));
    for (column, value) in crate::columns::FIXED_COLUMNS[6..17].iter().zip(1..) {
        assert_eq!(strings(&rows, column), [None, Some(value.to_string())], "{column}");
    }
    let text = |value: &str| Some(value.to_owned());
    let added = [("h".to_owned(), text("added")), ("hub".to_owned(), text("x"))];
    assert_eq!(map(&rows, 0), added);
    let sent = [("a", text("2")), ("b", None), ("c", text("")), ("e f", text("g&"))];
    let sent = sent.map(|(key, value)| (key.to_owned(), value));
    assert_eq!(map(&rows, 1), [&sent[..], &added].concat());
    assert_eq!(rows["body"].as_binary::<i32>().iter().collect::<Vec<_>>(), [Some(&b""[..]), Some(b"\x00\xff")]);
    assert_eq!(rows["offset"].as_primitive::<UInt64Type>().values(), &[10, 9]);
    let times = rows["enqueued_at"].as_primitive::<TimestampMillisecondType>();
    assert_eq!((times.values().as_ref(), times.timezone()), (&[HOUR, HOUR + 5][..], Some("UTC")));
    assert_eq!(bench.names(), ["date=2026-11-22/hour=13/shard-0-offset-000-011"]);
}

#[test]
fn typed_columns_are_null_where_the_value_is_of_another_type() {
    let column = |name: &str, path: &str, kind| ColumnConfig { name: name.to_owned(), path: path.to_owned(), kind };
    let columns = vec![
        column("temperature", "$.temperature", ColumnKind::Double),
        column("count", "a.b[0]", ColumnKind::Long),
        column("name", "$.name", ColumnKind::String),
        column("on", "$.on", ColumnKind::Boolean),
        column("at", "$.at", ColumnKind::Timestamp),
        column("at_text", "$.at", ColumnKind::String),
    ];
    let bodies: [&[u8]; 6] = [
        br#"{"temperature":21.5,"a":{"b":[7]},"name":"x","on":true,"at":"2026-11-22T13:00:00Z"}"#,
        br#"{"temperature":21,"a":{"b":["7"]},"name":1,"on":1,"at":1795352400001}"#,
        br#"{"temperature":"21","a":{"b":[7.5]},"name":null,"on":"true","at":"yesterday"}"#,
        br#"{"temperature":1e400,"a":{"b":[99999999999999999999]},"name":"\ud83d\ude00","name":"last"}"#,
        b"not json",
        b"\xff\xfe",
    ];
    let sent: Vec<_> = bodies.iter().map(|&body| Sent { body: body.to_vec(), ..Sent::new("d", HOUR) }).collect();
    let bench = written(ParquetConfig { columns, ..ParquetConfig::default() }, &[delivery(&batch(0, &sent))]);
    let rows = only(&bench);
    let doubles: Vec<_> = rows["temperature"].as_primitive::<Float64Type>().iter().collect();
    assert_eq!(doubles, [Some(21.5), Some(21.0), None, None, None, None]);
    let longs: Vec<_> = rows["count"].as_primitive::<Int64Type>().iter().collect();
    assert_eq!(longs, [Some(7), None, None, None, None, None]);
    assert_eq!(strings(&rows, "name")[..4], [some(&["x"]), vec![None, None], some(&["last"])].concat());
    let booleans: Vec<_> = rows["on"].as_boolean().iter().collect();
    assert_eq!(booleans, [Some(true), None, None, None, None, None]);
    let times: Vec<_> = rows["at"].as_primitive::<TimestampMillisecondType>().iter().collect();
    assert_eq!(times, [Some(HOUR), Some(HOUR + 1), None, None, None, None]);
    assert_eq!(rows["at_text"].null_count(), 4);
}

#[test]
fn rows_are_sorted_by_device_and_findable() {
    let config = ParquetConfig { row_group_rows: 500, ..ParquetConfig::default() };
    let deliveries: Vec<_> = journal(10, 100).iter().map(delivery).collect();
    let bench = written(config, &deliveries);
    let file = File::open(&bench.files()[0]).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 2);
    for group in 0..2 {
        let metadata = reader.metadata().row_group(group);
        let sorted: Vec<_> = metadata.sorting_columns().unwrap().iter().map(|column| column.column_idx).collect();
        assert_eq!(sorted, [0, 4]);
        let statistics = metadata.column(0).statistics().unwrap();
        assert_eq!(statistics.min_bytes_opt(), Some(&b"device-0"[..]));
        assert_eq!(statistics.max_bytes_opt(), Some(&b"device-6"[..]));
        let filter: Sbbf = reader.get_row_group_column_bloom_filter(group, 0).unwrap().unwrap();
        assert!(filter.check(&"device-3") && !filter.check(&"device-33"));
    }
    let keys: Vec<_> = reader
        .with_batch_size(500)
        .build()
        .unwrap()
        .map(|rows| {
            let rows = rows.unwrap();
            let offsets = rows["offset"].as_primitive::<UInt64Type>().values().to_vec();
            strings(&rows, "device_id").into_iter().zip(offsets).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|keys| keys.is_sorted()));
    assert_eq!(bench.offsets(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn device_ids_are_data_and_never_paths() {
    let odd = ["../../etc", "a/b=c", "..", "$x", "d'; drop", "é\u{202e}", "", &"x".repeat(2000), "_temporary"];
    let sent: Vec<_> = odd.iter().map(|&device| Sent::new(device, HOUR)).collect();
    let bench = written(ParquetConfig::default(), &[delivery(&batch(0, &sent))]);
    let mut expected = some(&odd);
    expected.sort();
    assert_eq!(strings(&only(&bench), "device_id"), expected);
    assert_eq!(bench.names(), ["date=2026-11-22/hour=13/shard-0-offset-000-009"]);
}

#[test]
fn more_devices_than_a_dictionary_holds() {
    let tail = "y".repeat(100);
    let batches: Vec<_> = (0..4_u64)
        .map(|number| {
            let sent: Vec<_> =
                (0..4000).map(|device| Sent::new(format!("{:05}{tail}", number * 4000 + device), HOUR)).collect();
            delivery(&batch(number * 4000, &sent))
        })
        .collect();
    let bench = written(ParquetConfig::default(), &batches);
    assert_eq!(bench.offsets(), (0..16_000).collect::<Vec<_>>());
    let ids: Vec<_> = read(&bench.files()[0]).iter().flat_map(|rows| strings(rows, "device_id")).collect();
    assert!(ids.is_sorted());
    assert_eq!(ids[15_999], Some(format!("15999{tail}")));
}

#[test]
fn only_selected_messages_are_written() {
    let batches = journal(20, 100);
    for every in [1, 2, 3, 50] {
        let deliveries: Vec<_> = batches
            .iter()
            .map(|batch| {
                let mut selected = Selection::none(batch.len());
                (0..batch.len()).step_by(every).for_each(|row| selected.insert(row));
                Delivery { selected, ..delivery(batch) }
            })
            .collect();
        let bench = written(ParquetConfig { row_group_rows: 333, ..ParquetConfig::default() }, &deliveries);
        let expected: Vec<u64> = (0..20).flat_map(|batch| (batch * 100..batch * 100 + 100).step_by(every)).collect();
        assert_eq!(bench.offsets(), expected);
        for rows in read(&bench.files()[0]) {
            let bodies = rows["body"].as_binary::<i32>();
            for (offset, body) in rows["offset"].as_primitive::<UInt64Type>().values().iter().zip(bodies) {
                assert_eq!(body.unwrap(), format!(r#"{{"n":{offset}}}"#).as_bytes());
            }
        }
    }
}

#[test]
fn a_message_with_too_many_properties_goes_to_the_dead_letter() {
    let bag = "a=b&".repeat(1024);
    let sent = [Sent::new("d", HOUR), Sent { bag, ..Sent::new("d", HOUR) }, Sent::new("d", HOUR)];
    let bench = written(ParquetConfig::default(), &[delivery(&batch(0, &sent))]);
    assert_eq!(bench.offsets(), [0, 2]);
    let letters = bench.letters.0.lock().unwrap();
    assert_eq!(*letters, [(Offset(1), "more than 1024 properties".to_owned())]);
}

#[test]
fn every_compression_reads_back() {
    use crate::config::CompressionKind::{Lz4, None, Snappy, Zstd};
    for compression in [Lz4, None, Snappy, Zstd] {
        let config = ParquetConfig { compression, zstd_level: 3, ..ParquetConfig::default() };
        let bench = written(config, &[delivery(&journal(1, 100)[0])]);
        assert_eq!(bench.offsets(), (0..100).collect::<Vec<_>>());
    }
}
