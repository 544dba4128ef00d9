"""An S3 endpoint on a free loopback port with one empty bucket; prints its address and serves until it is killed."""

import sys

import boto3
from moto.server import ThreadedMotoServer

# The server prints too; the address has to be the only line of standard output.
out, sys.stdout = sys.stdout, sys.stderr
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
host, port = server.get_host_and_port()
address = f"http://{host}:{port}"
boto3.client(
    "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
).create_bucket(Bucket="millrace")
print(address, file=out, flush=True)
server._thread.join()
