"""The unmodified device SDK against a hub: connect, send with properties, and hear of it when the device is disabled.

Usage: device_sdk.py CA_FILE MARKER_FILE, with the connection string in the environment. The marker file is made when all is sent;
the script ends when the SDK reports that it was disconnected.
"""

import os
import sys
import threading

from azure.iot.device import IoTHubDeviceClient, Message

ca_file, marker = sys.argv[1:3]
with open(ca_file, encoding="ascii") as file:
    ca = file.read()
client = IoTHubDeviceClient.create_from_connection_string(
    os.environ["DEVICE"], server_verification_cert=ca, connection_retry=False
)
lost = threading.Event()
client.on_connection_state_change = lambda: None if client.connected else lost.set()
client.connect()
for number in range(3):
    message = Message('{"number": %d}' % number, message_id="m %d" % number)
    message.content_type = "application/json"
    message.content_encoding = "utf-8"
    message.correlation_id = "c/1"
    message.custom_properties["site & place"] = "north=é/1"
    client.send_message(message)
client.send_message("plain")
with open(marker, "w", encoding="ascii"):
    pass
if not lost.wait(60):
    sys.exit("still connected")
