"""Reads a folder of Parquet files with pyarrow and with DuckDB and prints what each found as one line of JSON."""

import json
import sys

import duckdb
import pyarrow.dataset as dataset

root = sys.argv[1]
table = dataset.dataset(root, partitioning="hive", format="parquet").to_table()
first = table.sort_by("offset").slice(0, 1).to_pylist()[0]
arrow = {
    "rows": table.num_rows,
    "offsets": len(set(table["offset"].to_pylist())),
    "columns": table.column_names,
    "enqueued_at_type": str(table.schema.field("enqueued_at").type),
    "device_id": first["device_id"],
    "properties": first["properties"],
    "body": first["body"].decode(),
    "temperature": first["temperature"],
}
rows, offsets, devices, hottest, dates = duckdb.sql(
    f"""SELECT count(*), count(DISTINCT "offset"), count(DISTINCT device_id), max(temperature), count(DISTINCT date)
    FROM read_parquet('{root}/date=*/hour=*/*.parquet', hive_partitioning = true)"""
).fetchall()[0]
everything = duckdb.sql(f"SELECT count(*) FROM read_parquet('{root}/**/*.parquet')").fetchall()[0][0]
of_one = duckdb.sql(
    f"""SELECT count(*), min(properties['unit']) FROM read_parquet('{root}/**/*.parquet')
    WHERE device_id = 'device-3' AND "source" = 'Telemetry'"""
).fetchall()[0]
duck = {
    "rows": rows,
    "offsets": offsets,
    "devices": devices,
    "hottest": hottest,
    "dates": dates,
    "everything": everything,
    "of_one": of_one[0],
    "unit": of_one[1],
}
print(json.dumps({"arrow": arrow, "duck": duck}))
