"""The blob library of Azure, unmodified, against the hub's blob endpoint. Argument: JSON with an address for each upload."""

import json
import os
import sys

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobBlock, BlobClient

addresses = json.loads(sys.argv[1])
facts = {}


def client(name, **settings):
    return BlobClient.from_blob_url(addresses[name], retry_total=1, retry_backoff_factor=0.1, **settings)


whole = client("whole")
data = os.urandom(300_000)
answer = whole.upload_blob(data)
facts["etag"] = answer["etag"]
assert whole.download_blob().readall() == data, "another file came back"
assert whole.get_blob_properties().size == len(data)
try:
    whole.upload_blob(b"x")
    facts["exists"] = "overwritten"
except ResourceExistsError as error:
    facts["exists"] = error.error_code
whole.upload_blob(b"x", overwrite=True, validate_content=True)
assert whole.download_blob().readall() == b"x"

blocks = client("blocks", max_single_put_size=64 * 1024, max_block_size=256 * 1024)
data = os.urandom(12_000_000)
blocks.upload_blob(data, max_concurrency=4, validate_content=True)
assert blocks.download_blob(max_concurrency=2).readall() == data, "another file came back"

resumed = client("resumed")
resumed.stage_block("first", b"hello ")
resumed.stage_block("second", b"wor")
resumed = client("resumed")
committed, uncommitted = resumed.get_block_list("all")
facts["staged"] = sorted((block.id, block.size) for block in uncommitted)
resumed.stage_block("second", b"world")
resumed.commit_block_list([BlobBlock("first"), BlobBlock("second")])
facts["resumed"] = resumed.download_blob().readall().decode()
committed, uncommitted = resumed.get_block_list("all")
facts["committed"] = [len(committed), len(uncommitted)]

for name, upload in {
    "too_large": lambda: client("too_large").upload_blob(bytes(20_000_001)),
    "denied": lambda: BlobClient.from_blob_url(addresses["whole"].replace("whole", "other")).upload_blob(b"x"),
}.items():
    try:
        upload()
        facts[name] = "taken"
    except HttpResponseError as error:
        facts[name] = [error.status_code, error.error_code]

print(json.dumps(facts))
