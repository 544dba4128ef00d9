#!/usr/bin/env python3
"""Server CPU per acknowledged message and throughput: Millrace beside the floor server and other brokers, in one run, interleaved.

Usage: benches/compare.py [--rounds N] [--seconds N] [--shapes 20x16,500x1,10000@1] [--servers floor,mosquitto,millrace,millrace-sinks]

Builds nothing: `cargo build --release --workspace --bins` first. Servers that are not installed are left out and said so.
`millrace` journals and syncs before each acknowledgement and delivers nothing; `millrace-sinks` delivers to a real Apache Kafka
(tests/servers/kafka.sh) and to Parquet as well. CPU is user and system time of the server process from /proc, as the load generator
reads it, connections being set up not counted. Everything listens on 127.0.0.1.
"""

import argparse
import base64
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHAPES = {
    "20x16": ["--connections", "20", "--window", "16"],
    "500x1": ["--connections", "500", "--window", "1"],
    "10000@1": ["--connections", "10000", "--rate", "10000", "--connect-rate", "4000", "--source", "127.0.0.1-127.0.0.8"],
}


def target_directory():
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT, check=True, capture_output=True
    )
    return json.loads(metadata.stdout)["target_directory"]


RELEASE = os.environ.get("MILLRACE_PROGRAMS") or os.path.join(target_directory(), "release")


def program(name):
    return os.path.join(RELEASE, name)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, child):
    deadline = time.time() + 30
    while time.time() < deadline:
        if child.poll() is not None:
            sys.exit(f"{child.args[0]} ended with {child.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("a server does not answer")


class Server:
    """A server process in a scratch directory of its own."""

    def __init__(self, name):
        self.name = name
        self.directory = tempfile.mkdtemp(prefix="millrace-compare-")
        self.port = free_port()
        self.arguments = ["--topic", "bench/{id}"]
        self.kafka = None
        command = getattr(self, name.replace("-", "_"))()
        log = open(os.path.join(self.directory, "log"), "wb")
        self.child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_for(self.port, self.child)

    def floor(self):
        return [program("floor"), "--listen", f"127.0.0.1:{self.port}"]

    def mosquitto(self):
        path = os.path.join(self.directory, "mosquitto.conf")
        with open(path, "w") as file:
            file.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
            file.write("max_inflight_messages 0\nmax_queued_messages 0\nuser root\n")
        return ["mosquitto", "-c", path]

    def millrace(self, endpoints="[endpoints.parquet]\nenabled = false\n"):
        data = os.path.join(self.directory, "data")
        config = os.path.join(self.directory, "millrace.toml")
        devices = os.path.join(self.directory, "devices.csv")
        with open(config, "w") as file:
            file.write(endpoints)
        with open(devices, "w") as file:
            for number in range(10_000):
                file.write(f"dev-{number},{base64.b64encode(os.urandom(32)).decode()}\n")
        subprocess.run(
            [program("millrace"), "device", "import", devices, "--data-dir", data], check=True, capture_output=True
        )
        self.arguments = ["--devices", devices, "--host-name", "localhost"]
        return [program("millrace"), "serve", "--config", config, "--data-dir", data,
                "--mqtt", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{free_port()}"]

    def millrace_sinks(self):
        self.kafka = os.path.join(self.directory, "kafka")
        script = os.path.join(ROOT, "tests/servers/kafka.sh")
        started = subprocess.run([script, "start", self.kafka], check=True, capture_output=True, text=True)
        bootstrap = started.stdout.split()[-1]
        if ":" not in bootstrap:
            bootstrap = f"127.0.0.1:{bootstrap}"
        return self.millrace(
            f'[endpoints.kafka]\ntype = "kafka"\nbootstrap_servers = "{bootstrap}"\ntopic = "telemetry"\n'
            '[[routes]]\nname = "both"\nsource = "DeviceMessages"\nendpoints = ["kafka", "parquet"]\n'
        )

    def stop(self):
        self.child.terminate()
        self.child.wait(60)
        if self.kafka:
            subprocess.run([os.path.join(ROOT, "tests/servers/kafka.sh"), "stop", self.kafka], check=True, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def measure(name, shape, seconds):
    server = Server(name)
    try:
        command = [program("loadgen"), "run", "--json", "--quiet", "--allow-invalid", "--warm-up", "2",
                   "--target", f"127.0.0.1:{server.port}", "--duration", str(seconds), "--pid", str(server.child.pid)]
        run = subprocess.run(command + SHAPES[shape] + server.arguments, capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"{name} {shape}: loadgen ended with {run.returncode}\n{run.stderr[-2000:]}")
        report = json.loads(run.stdout)
    finally:
        server.stop()
    return {
        "cpu_us": report["servers"][0]["cpu_us_per_message"],
        "per_second": report["messages"]["throughput_per_second"],
        "p50_us": report["latency_us"]["p50"],
        "p99_us": report["latency_us"]["p99"],
        "memory_mib": report["servers"][0]["memory_bytes_max"] / 2**20,
        "generator_us": report["generator"]["cpu_us_per_message"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--servers", default="floor,mosquitto,millrace,millrace-sinks")
    options = parser.parse_args()
    servers = options.servers.split(",")
    if "mosquitto" in servers and not shutil.which("mosquitto"):
        print("mosquitto is not installed: left out", file=sys.stderr)
        servers.remove("mosquitto")
    print("| shape | server | CPU us a message | messages/s | ack p50 / p99 us | MiB | generator us |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for shape in options.shapes.split(","):
        results = {server: [] for server in servers}
        for _ in range(options.rounds):
            for server in servers:
                results[server].append(measure(server, shape, options.seconds))
        for server in servers:
            middle = {key: statistics.median(result[key] for result in results[server]) for key in results[server][0]}
            spread = "/".join(f"{result['cpu_us']:.2f}" for result in results[server])
            print(f"| {shape} | {server} | {middle['cpu_us']:.2f} ({spread}) | {middle['per_second']:,.0f} "
                  f"| {middle['p50_us']:,.0f} / {middle['p99_us']:,.0f} | {middle['memory_mib']:.0f} "
                  f"| {middle['generator_us']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
