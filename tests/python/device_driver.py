"""Drives the unmodified Python device SDK: JSON commands on standard input, JSON results and events on standard output.

A command is {"id": 1, "do": NAME, ...}; the answer {"id": 1, "ok": RESULT} or {"id": 1, "error": TEXT}. Events: {"event": KIND, ...}.
"""

import base64
import json
import logging
import os
import sys
import threading

from azure.iot.device import (
    IoTHubDeviceClient,
    IoTHubModuleClient,
    Message,
    MethodResponse,
    ProvisioningDeviceClient,
    X509,
)

logging.disable(logging.CRITICAL)
lock = threading.Lock()
client = None


def say(value):
    with lock:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


def certificate(command):
    return X509(cert_file=command["certificate"], key_file=command["key"], pass_phrase=None)


def options(command):
    with open(command["ca"], encoding="ascii") as file:
        chosen = {"server_verification_cert": file.read(), "websockets": command.get("websockets", False)}
    for name in ("sastoken_ttl", "keep_alive", "product_info", "connection_retry", "connection_retry_interval"):
        if name in command:
            chosen[name] = command[name]
    if "model" in command:
        chosen["product_info"] = command["model"]
    return chosen


def create(command):
    global client
    kind = IoTHubModuleClient if command.get("module") else IoTHubDeviceClient
    if "certificate" in command:
        arguments = {"x509": certificate(command), "hostname": command["host"], "device_id": command["device"]}
        client = kind.create_from_x509_certificate(**arguments, **options(command))
    elif "sas" in command:
        client = kind.create_from_sastoken(command["sas"], **options(command))
    else:
        client = kind.create_from_connection_string(command["connection_string"], **options(command))
    client.on_connection_state_change = lambda: say({"event": "connected" if client.connected else "disconnected"})
    client.on_new_sastoken_required = lambda: say({"event": "token_required"})


def connect(_):
    client.connect()


def disconnect(_):
    client.disconnect()


def end(_):
    client.shutdown()


def renew(command):
    client.update_sastoken(command["sas"])


def send(command):
    message = Message(command["body"])
    for name in ("message_id", "correlation_id", "content_type", "content_encoding"):
        if name in command:
            setattr(message, name, command[name])
    for name, value in command.get("properties", {}).items():
        message.custom_properties[name] = value
    client.send_message(message)


def twin(_):
    return client.get_twin()


def report(command):
    client.patch_twin_reported_properties(command["patch"])


def listen(command):
    """Subscribes by setting handlers, as applications do."""
    wanted = command["to"]
    if "desired" in wanted:
        client.on_twin_desired_properties_patch_received = lambda patch: say({"event": "desired", "patch": patch})
    if "commands" in wanted:
        client.on_message_received = on_command
    if "methods" in wanted:
        client.on_method_request_received = on_method


def on_command(message):
    say({
        "event": "command",
        "body": message.data.decode(),
        "message_id": message.message_id,
        "correlation_id": message.correlation_id,
        "ack": message.ack,
        "properties": message.custom_properties,
    })


def on_method(request):
    say({"event": "method", "name": request.name, "payload": request.payload})
    if request.name == "silent":
        return
    status = 500 if request.name == "fail" else 200
    answer = {"echo": request.payload}
    client.send_method_response(MethodResponse.create_from_method_request(request, status, answer))


def upload(command):
    """The three steps that an application takes: ask where to, put the blob, say that it is done."""
    from azure.storage.blob import BlobClient

    info = client.get_storage_info_for_blob(command["name"])
    url = f"https://{info['hostName']}/{info['containerName']}/{info['blobName']}{info['sasToken']}"
    content = base64.b64decode(command["content"])
    limits = {"max_single_put_size": command.get("single_put", 64 * 1024), "max_block_size": 64 * 1024}
    with BlobClient.from_blob_url(url, connection_verify=command["ca"], **limits) as blob:
        blob.upload_blob(content, overwrite=True)
    client.notify_blob_upload_status(info["correlationId"], True, 201, "done")
    return info["blobName"]


def provision(command):
    arguments = {
        "provisioning_host": command["host"],
        "registration_id": command["registration"],
        "id_scope": command["scope"],
    }
    if "certificate" in command:
        maker = ProvisioningDeviceClient.create_from_x509_certificate
        arguments["x509"] = certificate(command)
    else:
        maker = ProvisioningDeviceClient.create_from_symmetric_key
        arguments["symmetric_key"] = command["symmetric_key"]
    provisioner = maker(**arguments, **options(command))
    if "payload" in command:
        provisioner.provisioning_payload = command["payload"]
    result = provisioner.register()
    state = result.registration_state
    return {
        "status": result.status,
        "hub": state.assigned_hub,
        "device": state.device_id,
        "substatus": state.sub_status,
        "payload": state.response_payload,
    }


ACTIONS = {
    action.__name__: action
    for action in (create, connect, disconnect, end, renew, send, twin, report, listen, upload, provision)
}


def main():
    for line in sys.stdin:
        command = json.loads(line)
        try:
            say({"id": command["id"], "ok": ACTIONS[command["do"]](command)})
        except Exception as error:  # pylint: disable=broad-except
            cause = f" <- {type(error.__cause__).__name__}: {error.__cause__}" if error.__cause__ else ""
            say({"id": command["id"], "error": f"{type(error).__name__}: {error}{cause}"})


main()
os._exit(0)
