#!/usr/bin/env python3
"""Devices and services that use the way back to the device at a fixed rate, on one thread and without libraries: MQTT 3.1.1 and HTTP/1.1.

Usage: control_driver.py WHAT --mqtt HOST:PORT --http HOST:PORT --devices FILE --service CONNECTION_STRING [--rate N] [--seconds N]
WHAT is patches (reported properties), methods (called by REST, answered by the device), commands (sent by REST, acknowledged by the
device), or idle (connects, subscribes with --subscribe, says `ready`, and waits for the end of its input).
Open loop: what is late is sent late, and its time counts from when it was due. Prints one JSON object.
"""

import argparse
import asyncio
import base64
import collections
import csv
import hashlib
import hmac
import json
import sys
import time
import urllib.parse

EXPIRY = 4_000_000_000
SERVICE_CONNECTIONS = 64


def token(resource, key, policy=None):
    resource = urllib.parse.quote(resource, safe="")
    digest = hmac.new(base64.b64decode(key), f"{resource}\n{EXPIRY}".encode(), hashlib.sha256).digest()
    signature = urllib.parse.quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={EXPIRY}" + (f"&skn={policy}" if policy else "")


def packet(first, content):
    length, size = len(content), b""
    while True:
        length, low = divmod(length, 128)
        size += bytes([low | (128 if length else 0)])
        if not length:
            return bytes([first]) + size + content


def text(value):
    value = value.encode()
    return len(value).to_bytes(2, "big") + value


class Tally:
    """What became of the operations."""

    def __init__(self):
        self.sent = self.done = self.failed = 0
        self.late = []

    def finish(self, due, is_good):
        if is_good:
            self.done += 1
            self.late.append(time.monotonic() - due)
        else:
            self.failed += 1


class Device(asyncio.Protocol):
    def __init__(self, name, key, host, subscribe, tally):
        self.name, self.key, self.host, self.subscribe, self.tally = name, key, host, subscribe, tally
        self.buffer = b""
        self.ready = asyncio.get_running_loop().create_future()
        self.asked = {}
        self.number = 0

    def connection_made(self, transport):
        self.transport = transport
        user = f"{self.host}/{self.name}/?api-version=2021-04-12"
        password = token(f"{self.host}/devices/{self.name}", self.key)
        head = b"\0\4MQTT\4\xc0" + (600).to_bytes(2, "big")
        transport.write(packet(0x10, head + text(self.name) + text(user) + text(password)))

    def connection_lost(self, error):
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionError("closed"))
        for due in self.asked.values():
            self.tally.finish(due, False)

    def data_received(self, data):
        self.buffer += data
        at = 0
        while True:
            length, size, shift = 0, at + 1, 0
            while size < len(self.buffer):
                length |= (self.buffer[size] & 127) << shift
                size, shift = size + 1, shift + 7
                if not self.buffer[size - 1] & 128:
                    break
            else:
                break
            if size + length > len(self.buffer):
                break
            self.take(self.buffer[at], self.buffer[size:size + length])
            at = size + length
        self.buffer = self.buffer[at:]

    def take(self, first, content):
        kind = first >> 4
        if kind == 2:
            if content[1]:
                self.ready.set_exception(ConnectionError(f"CONNACK {content[1]}"))
            elif self.subscribe:
                filters = ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#",
                           f"devices/{self.name}/messages/devicebound/#"]
                self.transport.write(packet(0x82, b"\0\1" + b"".join(text(one) + b"\1" for one in filters)))
            else:
                self.ready.set_result(None)
        elif kind == 9:
            self.ready.set_result(None)
        elif kind == 3:
            self.message(first, content)

    def message(self, first, content):
        length = int.from_bytes(content[:2], "big")
        topic, rest = content[2:2 + length], content[2 + length:]
        if topic.startswith(b"$iothub/methods/POST/"):
            rid = topic.split(b"$rid=")[1]
            body = rest[2:] if first & 6 else rest
            answer = b"$iothub/methods/res/200/?$rid=" + rid
            self.transport.write(packet(0x30, len(answer).to_bytes(2, "big") + answer + body))
        elif topic.startswith(b"$iothub/twin/res/"):
            status, rid = topic[17:20], int(topic.split(b"$rid=")[1].split(b"&")[0])
            due = self.asked.pop(rid, None)
            if due is not None:
                self.tally.finish(due, status == b"204")
        if first & 6:
            self.transport.write(b"\x40\2" + rest[:2])

    def patch(self, due):
        self.number += 1
        self.asked[self.number] = due
        topic = f"$iothub/twin/PATCH/properties/reported/?$rid={self.number}"
        body = b'{"temperature":%d,"firmware":"1.2.3"}' % (self.number % 90)
        self.transport.write(packet(0x30, text(topic) + body))


class Service(asyncio.Protocol):
    """One connection of the service's; calls wait in a queue that all share."""

    def __init__(self, waiting, idle, tally):
        self.waiting, self.idle, self.tally = waiting, idle, tally
        self.buffer = b""
        self.due = None

    def connection_made(self, transport):
        self.transport = transport
        self.idle.append(self)

    def call(self, due, request):
        self.due = due
        self.transport.write(request)

    def data_received(self, data):
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        start = self.buffer[:head].lower()
        at = start.find(b"content-length:")
        length = int(start[at + 15:].split(b"\r\n")[0]) if at >= 0 else 0
        if len(self.buffer) < head + 4 + length:
            return
        self.tally.finish(self.due, start[9:12] in (b"200", b"204"))
        self.buffer = self.buffer[head + 4 + length:]
        if self.waiting:
            self.call(*self.waiting.popleft())
        else:
            self.idle.append(self)


def request(what, name, host, authorization):
    if what == "methods":
        path, body = f"/twins/{name}/methods", b'{"methodName":"reboot","payload":{"delay":5},"responseTimeoutInSeconds":30}'
    else:
        path, body = f"/devices/{name}/messages/devicebound", b"x" * 200
    head = (f"POST {path}?api-version=2021-04-12 HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


async def connect(options, tally):
    """All devices of the file, connected."""
    loop = asyncio.get_running_loop()
    host, port = options.mqtt.split(":")
    with open(options.devices, encoding="ascii") as file:
        rows = list(csv.reader(file))[options.first:]
    if options.count:
        rows = rows[:options.count]
    devices = []
    for start in range(0, len(rows), 200):
        part = []
        for name, key in rows[start:start + 200]:
            source = (f"127.0.0.{1 + len(devices) // 10_000}", 0)
            make = lambda: Device(name, key, "localhost", options.subscribe or options.what != "idle", tally)
            _, device = await loop.create_connection(make, host, int(port), local_addr=source)
            devices.append(device)
            part.append(device.ready)
        await asyncio.gather(*part)
    return devices


async def drive(options):
    loop, tally = asyncio.get_running_loop(), Tally()
    devices = await connect(options, tally)
    if options.what == "idle":
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        return
    parts = dict(part.split("=", 1) for part in options.service.split(";"))
    authorization = token("localhost", parts["SharedAccessKey"], parts["SharedAccessKeyName"])
    waiting, idle = collections.deque(), collections.deque()
    if options.what != "patches":
        host, port = options.http.split(":")
        for _ in range(SERVICE_CONNECTIONS):
            await loop.create_connection(lambda: Service(waiting, idle, tally), host, int(port))
    requests = {device: request(options.what, device.name, "localhost", authorization) for device in devices}
    begun, spent = time.monotonic(), time.process_time()
    while (now := time.monotonic()) < begun + options.seconds:
        due = begun + tally.sent / options.rate
        if due > now:
            await asyncio.sleep(min(due - now, 0.002))
            continue
        device = devices[tally.sent % len(devices)]
        tally.sent += 1
        if options.what == "patches":
            device.patch(due)
        elif idle:
            idle.popleft().call(due, requests[device])
        else:
            waiting.append((due, requests[device]))
        if tally.sent % 50 == 0:
            await asyncio.sleep(0)
    deadline = time.monotonic() + 10
    while tally.done + tally.failed < tally.sent and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    late = sorted(tally.late) or [0]
    print(json.dumps({
        "sent": tally.sent, "done": tally.done, "failed": tally.failed, "per_second": tally.done / options.seconds,
        "p50_ms": 1e3 * late[len(late) // 2], "p99_ms": 1e3 * late[len(late) * 99 // 100],
        "cpu_seconds": time.process_time() - spent,
    }), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["patches", "methods", "commands", "idle"])
    parser.add_argument("--mqtt", required=True)
    parser.add_argument("--http", default="")
    parser.add_argument("--devices", required=True, help="CSV of id,base64 key")
    parser.add_argument("--first", type=int, default=0, help="rows to skip")
    parser.add_argument("--count", type=int, default=0, help="rows to take, 0: all")
    parser.add_argument("--service", default="")
    parser.add_argument("--subscribe", action="store_true")
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    asyncio.run(drive(parser.parse_args()))


if __name__ == "__main__":
    main()
