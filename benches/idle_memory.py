#!/usr/bin/env python3
"""User memory of an idle connection: slope of the hub's resident memory from 2,000 to 18,000 connections, plain and TLS.

Usage: benches/idle_memory.py. Needs `cargo build --release` (or MILLRACE_PROGRAMS) and 20,000 descriptors.
Kernel memory of the sockets is not part of it.
"""

import base64
import os
import subprocess
import tempfile
import time

from compare import free_port, program, wait_for

COUNTS = [2_000, 18_000]


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def connected(admin):
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("millrace_ingest_connections{"))


def configuration(directory):
    """Nothing is delivered, so that what endpoints keep of the messages that connections cause is not taken for theirs."""
    path = os.path.join(directory, "millrace.toml")
    with open(path, "w") as file:
        file.write("[fallback]\nenabled = false\nendpoints = []\n[endpoints.parquet]\nenabled = false\n[journal]\nrecent_bytes = 1048576\n")
    return path


def measure(directory, transport):
    data, devices = os.path.join(directory, "data"), os.path.join(directory, "devices.csv")
    mqtt, mqtts, admin = free_port(), free_port(), free_port()
    log = open(os.path.join(directory, f"{transport}.log"), "wb")
    hub = subprocess.Popen(
        [program("millrace"), "serve", "--config", configuration(directory), "--data-dir", data, "--mqtt", f"127.0.0.1:{mqtt}", "--mqtts",
         f"127.0.0.1:{mqtts}", "--admin", f"127.0.0.1:{admin}"], stderr=log, stdout=log)
    wait_for(admin, hub)
    sizes = []
    for count in COUNTS:
        command = [program("loadgen"), "run", "--quiet", "--allow-invalid", "--devices", devices, "--host-name", "localhost",
                   "--connections", str(count), "--connect-rate", "2000", "--rate", "1", "--duration", "12",
                   "--keep-alive", "600", "--source", "127.0.0.1-127.0.0.8"]
        command += ["--target", f"127.0.0.1:{mqtt}"] if transport == "tcp" else [
            "--target", f"localhost:{mqtts}", "--ca", os.path.join(data, "tls/ca.pem")]
        load = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.time() + 120
        while connected(admin) < count and load.poll() is None and time.time() < deadline:
            time.sleep(0.2)
        time.sleep(3)
        sizes.append((connected(admin), resident(hub.pid)))
        load.wait()
    hub.terminate()
    hub.wait(60)
    (few, small), (many, large) = sizes
    print(f"{transport}: {small / 2**20:.1f} MiB at {few:.0f}, {large / 2**20:.1f} MiB at {many:.0f} connections: "
          f"{(large - small) / max(many - few, 1):.0f} bytes each", flush=True)


def main():
    with tempfile.TemporaryDirectory(prefix="millrace-idle-") as directory:
        devices = os.path.join(directory, "devices.csv")
        with open(devices, "w") as file:
            for number in range(max(COUNTS)):
                file.write(f"dev-{number},{base64.b64encode(os.urandom(32)).decode()}\n")
        subprocess.run([program("millrace"), "device", "import", devices, "--data-dir", os.path.join(directory, "data")],
                       check=True, capture_output=True)
        for transport in ["tcp", "tls"]:
            measure(directory, transport)


if __name__ == "__main__":
    main()
