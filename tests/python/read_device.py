"""Prints the messages of one device as the Parquet files hold them, one JSON object a line, in the order of their offsets."""

import json
import sys

import pyarrow.dataset as dataset

folder, device = sys.argv[1:3]
table = dataset.dataset(folder, format="parquet", partitioning="hive").to_table()
rows = [row for row in table.to_pylist() if row["device_id"] == device]
for row in sorted(rows, key=lambda row: row["offset"]):
    row["body"] = row["body"].decode()
    row["properties"] = dict(row["properties"] or [])
    print(json.dumps(row, default=str))
