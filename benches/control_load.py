#!/usr/bin/env python3
"""What twin patches, method calls and commands cost the telemetry path: its throughput without them, with them on another hub of the same
machine, and with them on the same hub, in turn.

Usage: benches/control_load.py [--rounds N] [--seconds N] [--rate N] [--devices N] [--kinds patches,methods,commands] [--window N]

Needs `cargo build --release` (or MILLRACE_PROGRAMS). Telemetry is a closed loop of `loadgen`; the rest is control_driver.py in open loop.
Machines are small: whatever does the control work takes processor time from telemetry, wherever it runs. On another hub it takes just
that, so `here / elsewhere` is what it costs beyond its own processor time, and `here / alone` what it costs in all.
Everything listens on 127.0.0.1.
"""

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile

from compare import free_port, program, wait_for

DRIVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "control_driver.py")
TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Hub:
    """A hub that journals and syncs, and delivers nothing."""

    def __init__(self, directory, devices):
        self.data = os.path.join(directory, "data")
        self.mqtt, self.http, admin = (f"127.0.0.1:{free_port()}" for _ in range(3))
        config = os.path.join(directory, "millrace.toml")
        with open(config, "w") as file:
            file.write(f'[hub]\nhost_names = ["localhost"]\n[https]\nlisten_plain = "{self.http}"\n'
                       "[endpoints.parquet]\nenabled = false\n")
        subprocess.run([program("millrace"), "device", "import", devices, "--data-dir", self.data], check=True,
                       capture_output=True)
        log = open(os.path.join(directory, "log"), "wb")
        self.child = subprocess.Popen(
            [program("millrace"), "serve", "--config", config, "--data-dir", self.data, "--mqtt", self.mqtt, "--admin", admin],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_for(int(self.http.split(":")[1]), self.child)
        shown = subprocess.run(
            [program("millrace"), "policy", "connection-string", "service", "--data-dir", self.data], check=True,
            capture_output=True, text=True)
        self.service = shown.stdout.strip()

    def stop(self):
        self.child.terminate()
        self.child.wait(60)


def drive(kind, hub, options, seconds):
    command = [sys.executable, DRIVER, kind, "--mqtt", hub.mqtt, "--http", hub.http, "--devices", options.device_file, "--first", "20",
               "--count", str(options.devices), "--service", hub.service, "--rate", str(options.rate), "--seconds", str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def telemetry(hub, options):
    command = [program("loadgen"), "run", "--json", "--quiet", "--allow-invalid", "--warm-up", "3", "--target", hub.mqtt,
               "--host-name", "localhost", "--devices", options.device_file, "--connections", "20", "--window", str(options.window),
               "--duration", str(options.seconds), "--pid", str(hub.child.pid)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"loadgen ended with {run.returncode}\n{run.stderr[-2000:]}")
    return json.loads(run.stdout)


def phase(kind, here, control, options):
    """Telemetry to `here` while `control`, if there is one, does the control work."""
    # It connects while telemetry warms up, and goes on until that is through.
    driver = drive(kind, control, options, options.seconds + 4) if control else None
    before = processor_seconds(control.child.pid) if control else 0
    report = telemetry(here, options)
    result = {"per_second": report["messages"]["throughput_per_second"], "p99_us": report["latency_us"]["p99"],
              "cpu_us": report["servers"][0]["cpu_us_per_message"]}
    if driver:
        output, _ = driver.communicate(timeout=120)
        result["control"] = json.loads(output)
        result["control"]["hub_cpu_seconds"] = processor_seconds(control.child.pid) - before
    return result


def alone(kind, hub, options):
    """The control work without telemetry; answers it with the hub's processor time for each operation."""
    before = processor_seconds(hub.child.pid)
    output, _ = drive(kind, hub, options, options.seconds).communicate(timeout=120)
    result = json.loads(output)
    result["hub_cpu_us"] = 1e6 * (processor_seconds(hub.child.pid) - before) / max(result["done"], 1)
    return result


def show(kind, phases, work):
    middle = {name: statistics.median(result["per_second"] for result in results) for name, results in phases.items()}
    spread = {name: "/".join(f"{result['per_second']:,.0f}" for result in results) for name, results in phases.items()}
    control = [result["control"] for result in phases["here"]]
    done, failed = sum(one["done"] for one in control), sum(one["failed"] for one in control)
    print(f"| {kind} | {spread['alone']} | {spread['elsewhere']} | {spread['here']} | {middle['here'] / middle['alone']:.2f} "
          f"| **{middle['here'] / middle['elsewhere']:.2f}** | {done:,} / {failed:,} | {control[-1]['p50_ms']:.0f} / "
          f"{control[-1]['p99_ms']:.0f} | {work['per_second']:,.0f} | {work['p50_ms']:.1f} / {work['p99_ms']:.1f} | "
          f"{work['hub_cpu_us']:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--kinds", default="patches,methods,commands")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-control-") as directory:
        options.device_file = os.path.join(directory, "devices.csv")
        with open(options.device_file, "w") as file:
            for number in range(20 + options.devices):
                file.write(f"dev-{number},{base64.b64encode(os.urandom(32)).decode()}\n")
        hubs = []
        for name in ("here", "elsewhere"):
            os.mkdir(os.path.join(directory, name))
            hubs.append(Hub(os.path.join(directory, name), options.device_file))
        here, elsewhere = hubs
        try:
            print("| kind | telemetry alone /s | control elsewhere | control here | here / alone | here / elsewhere | done / failed "
                  "| p50 / p99 ms | without telemetry /s | p50 / p99 ms | hub CPU us |\n" + "| --- " * 11 + "|")
            for kind in options.kinds.split(","):
                work = alone(kind, here, options)
                phases = {"alone": [], "elsewhere": [], "here": []}
                for _ in range(options.rounds):
                    phases["alone"].append(phase(kind, here, None, options))
                    phases["elsewhere"].append(phase(kind, here, elsewhere, options))
                    phases["here"].append(phase(kind, here, here, options))
                show(kind, phases, work)
        finally:
            for hub in hubs:
                hub.stop()


if __name__ == "__main__":
    main()
