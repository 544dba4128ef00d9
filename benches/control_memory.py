#!/usr/bin/env python3
"""User memory of an idle session that subscribes to twin answers, desired properties, methods and commands, over one that does not: slopes
of the hub's resident memory from 2,000 to 18,000 connections, a fresh hub for each.

Usage: benches/control_memory.py. Needs `cargo build --release` (or MILLRACE_PROGRAMS) and 20,000 descriptors.
"""

import base64
import os
import subprocess
import sys
import tempfile
import time

from control_load import DRIVER, Hub
from idle_memory import resident

COUNTS = [2_000, 18_000]


def measure(directory, devices, name, arguments):
    folder = os.path.join(directory, name)
    os.mkdir(folder)
    hub = Hub(folder, devices)
    drivers, sizes = [], []
    try:
        for first, count in [(0, COUNTS[0]), (COUNTS[0], COUNTS[1] - COUNTS[0])]:
            command = [sys.executable, DRIVER, "idle", "--mqtt", hub.mqtt, "--devices", devices, "--first", str(first), "--count",
                       str(count), *arguments]
            driver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            drivers.append(driver)
            if driver.stdout.readline() != "ready\n":
                sys.exit("the driver did not get ready")
            # What was allocated for connecting is given back by then.
            time.sleep(5)
            sizes.append(resident(hub.child.pid))
    finally:
        for driver in drivers:
            driver.stdin.close()
            driver.wait(60)
        hub.stop()
    each = (sizes[1] - sizes[0]) / (COUNTS[1] - COUNTS[0])
    print(f"{name}: {sizes[0] / 2**20:.1f} MiB at {COUNTS[0]}, {sizes[1] / 2**20:.1f} MiB at {COUNTS[1]}: {each:.0f} bytes each", flush=True)
    return each


def main():
    with tempfile.TemporaryDirectory(prefix="millrace-memory-") as directory:
        devices = os.path.join(directory, "devices.csv")
        with open(devices, "w") as file:
            for number in range(COUNTS[1]):
                file.write(f"dev-{number},{base64.b64encode(os.urandom(32)).decode()}\n")
        bare = measure(directory, devices, "none", [])
        full = measure(directory, devices, "all-four", ["--subscribe"])
        print(f"all four subscriptions: {full - bare:.0f} bytes more each")


if __name__ == "__main__":
    main()
