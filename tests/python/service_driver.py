"""Drives the unmodified Python service SDK (REST): JSON commands on standard input, JSON results on standard output.

{"id": 1, "do": "call", "client": "registry", "name": "get_twin", "arguments": [...]} calls a method of the SDK; models go over as JSON.
"""

import json
import sys

from azure.iot.hub import DigitalTwinClient, IoTHubConfigurationManager, IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.protocol import models

CLIENTS = {
    "registry": IoTHubRegistryManager,
    "configuration": IoTHubConfigurationManager,
    "job": IoTHubJobManager,
    "digital_twin": DigitalTwinClient,
}
made = {}


def plain(value):
    """A model of the SDK as JSON, members that it does not know included."""
    if hasattr(value, "serialize"):
        members = value.serialize(keep_readonly=True)
        members.update(getattr(value, "additional_properties", None) or {})
        return members
    if hasattr(value, "items") and not isinstance(value, dict) and isinstance(getattr(value, "items", None), list):
        return {"items": [plain(item) for item in value.items], "continuation": value.continuation_token}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def argument(value):
    """{"model": "Twin", "of": {...}} becomes a model of the SDK."""
    if isinstance(value, dict) and "model" in value:
        return getattr(models, value["model"]).from_dict(value["of"])
    if isinstance(value, list):
        return [argument(item) for item in value]
    return value


def call(command):
    kind = command["client"]
    if kind not in made:
        made[kind] = CLIENTS[kind].from_connection_string(command["connection_string"])
    method = getattr(made[kind], command["name"])
    return plain(method(*(argument(value) for value in command.get("arguments", []))))


def failure(error):
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"{type(error).__name__} {status}: {error}"


for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = {"id": asked["id"], "ok": call(asked)}
    except Exception as error:  # pylint: disable=broad-except
        answer = {"id": asked["id"], "error": failure(error)}
    print(json.dumps(answer), flush=True)
