#!/usr/bin/env python3
"""From publishing a message to the webhook of the alert that it fires, in open loop, while other devices send at `--load` a second.

Usage: benches/alert_latency.py [--load 60000] [--alerts 2000] [--rate 200]

A second generator sends from `--alerts` devices, one message each, `--rate` a second; the body holds the time of sending and fires a
rule. The receiver here subtracts. Both clocks are this machine's. Everything is durable before it is routed.
"""

import argparse
import base64
import http.server
import json
import os
import subprocess
import tempfile
import threading
import time

from compare import free_port, program, wait_for

CONFIG = """
[endpoints.parquet]
enabled = false
[endpoints.alerts]
type = "alerts"
[endpoints.alerts.webhooks.probe]
url = "http://127.0.0.1:{port}/"
secret = "not a secret"
allow_private = true
[[endpoints.alerts.rules]]
name = "probe"
value = "$.sent_ms"
above = 0.0
actions = ["probe"]
[[routes]]
name = "probes"
source = "DeviceMessages"
condition = "probe = '1'"
endpoints = ["alerts"]
[fallback]
enabled = false
"""


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    delays = []

    def do_POST(self):
        now = time.time() * 1000
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.delays.append(now - event["value"])
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=int, default=60_000)
    parser.add_argument("--alerts", type=int, default=2_000)
    parser.add_argument("--rate", type=int, default=200)
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="millrace-alert-") as directory:
        run(options, server.server_port, directory)
    delays = sorted(Receiver.delays)
    at = lambda share: delays[min(int(len(delays) * share), len(delays) - 1)]
    print(f"{len(delays)} alerts beside {options.load:,} messages/s: p50 {at(.5):.1f} p90 {at(.9):.1f} p99 {at(.99):.1f} "
          f"p99.9 {at(.999):.1f} max {delays[-1]:.1f} ms")


def run(options, port, directory):
    files = {name: os.path.join(directory, name) for name in ["config.toml", "devices.csv", "log", "data"]}
    with open(files["config.toml"], "w") as file:
        file.write(CONFIG.format(port=port))
    with open(files["devices.csv"], "w") as file:
        for number in range(options.alerts + 20):
            file.write(f"dev-{number},{base64.b64encode(os.urandom(32)).decode()}\n")
    subprocess.run([program("millrace"), "device", "import", files["devices.csv"], "--data-dir", files["data"]],
                   check=True, capture_output=True)
    mqtt, admin = free_port(), free_port()
    log = open(files["log"], "wb")
    hub = subprocess.Popen([program("millrace"), "serve", "--config", files["config.toml"], "--data-dir", files["data"],
                            "--mqtt", f"127.0.0.1:{mqtt}", "--admin", f"127.0.0.1:{admin}"], stderr=log)
    wait_for(admin, hub)
    seconds = options.alerts // options.rate
    common = [program("loadgen"), "run", "--quiet", "--allow-invalid", "--target", f"127.0.0.1:{mqtt}",
              "--devices", files["devices.csv"], "--host-name", "localhost"]
    load = subprocess.Popen(common + ["--connections", "20", "--rate", str(options.load), "--in-flight-max", "1000",
                                      "--duration", str(seconds + 8)], stdout=subprocess.DEVNULL, stderr=log)
    time.sleep(3)
    probes = common + ["--connections", str(options.alerts), "--connect-rate", "2000", "--device-first", "20", "--duration", str(seconds),
                       "--rate", str(options.rate), "--property", "probe=1", "--template", '{"sent_ms":{now_ms}}',
                       "--content-type", "application/json", "--content-encoding", "utf-8"]
    subprocess.run(probes, stdout=subprocess.DEVNULL, stderr=log, check=True)
    load.wait()
    time.sleep(1)
    hub.terminate()
    hub.wait(60)


if __name__ == "__main__":
    main()
