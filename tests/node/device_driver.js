// Drives the unmodified Node device SDK: JSON commands on standard input, JSON results and events on standard output.
// A command is {"id": 1, "do": NAME, ...}; the answer {"id": 1, "ok": RESULT} or {"id": 1, "error": TEXT}. Events: {"event": KIND, ...}.
'use strict';

const fs = require('fs');
const readline = require('readline');
const { Client, ModuleClient, Message } = require('azure-iot-device');

const TRANSPORTS = {
  mqtt: () => require('azure-iot-device-mqtt').Mqtt,
  'mqtt-ws': () => require('azure-iot-device-mqtt').MqttWs,
  http: () => require('azure-iot-device-http').Http,
};
const PROVISIONING = {
  mqtt: () => require('azure-iot-provisioning-device-mqtt').Mqtt,
  'mqtt-ws': () => require('azure-iot-provisioning-device-mqtt').MqttWs,
  http: () => require('azure-iot-provisioning-device-http').Http,
};

let client;
let twin;

function say(value) {
  process.stdout.write(JSON.stringify(value) + '\n');
}

function identity(command) {
  return { cert: fs.readFileSync(command.certificate, 'ascii'), key: fs.readFileSync(command.key, 'ascii') };
}

const actions = {
  async create(command) {
    const kind = command.module ? ModuleClient : Client;
    const transport = TRANSPORTS[command.transport || 'mqtt']();
    twin = undefined;
    if (command.certificate) {
      client = kind.fromConnectionString(`HostName=${command.host};DeviceId=${command.device};x509=true`, transport);
    } else if (command.sas) {
      client = kind.fromSharedAccessSignature(command.sas, transport);
    } else {
      client = kind.fromConnectionString(command.connection_string, transport);
    }
    const options = { ca: fs.readFileSync(command.ca, 'ascii') };
    if (command.certificate) Object.assign(options, identity(command));
    if (command.model) options.modelId = command.model;
    if (command.keep_alive) options.keepalive = command.keep_alive;
    // The HTTP transport never says that it has taken them.
    const taken = client.setOptions(options);
    if (command.transport !== 'http') await taken;
    client.on('connect', () => say({ event: 'connected' }));
    client.on('disconnect', () => say({ event: 'disconnected' }));
    client.on('error', (error) => say({ event: 'error', text: String(error) }));
  },
  connect: () => client.open(),
  end: () => client.close(),
  renew: (command) => client.updateSharedAccessSignature(command.sas),
  async send(command) {
    await client.sendEvent(message(command));
  },
  async send_many(command) {
    await client.sendEventBatch(command.messages.map(message));
  },
  async twin() {
    twin = twin || (await client.getTwin());
    await twin.get();
    return { desired: twin.properties.desired, reported: twin.properties.reported };
  },
  async report(command) {
    twin = twin || (await client.getTwin());
    await new Promise((resolve, reject) =>
      twin.properties.reported.update(command.patch, (error) => (error ? reject(error) : resolve()))
    );
  },
  async listen(command) {
    if (command.to.includes('desired')) {
      twin = twin || (await client.getTwin());
      twin.on('properties.desired', (patch) => say({ event: 'desired', patch }));
    }
    if (command.to.includes('commands')) {
      client.on('message', onCommand);
    }
    if (command.to.includes('methods')) {
      for (const name of ['reboot', 'fail', 'silent', 'thermostat1*getMaxMinReport']) client.onDeviceMethod(name, onMethod);
    }
  },
  async settle(command) {
    const kept = waiting.get(command.message_id);
    waiting.delete(command.message_id);
    await client[command.how](kept);
  },
  async upload(command) {
    const content = Buffer.from(command.content, 'base64');
    const { Readable } = require('stream');
    await client.uploadToBlob(command.name, Readable.from([content]), content.length);
  },
  async provision(command) {
    const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
    const transport = new (PROVISIONING[command.transport || 'mqtt']())();
    let security;
    if (command.certificate) {
      const { X509Security } = require('azure-iot-security-x509');
      security = new X509Security(command.registration, identity(command));
    } else {
      const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
      security = new SymmetricKeySecurityClient(command.registration, command.symmetric_key);
    }
    const provisioner = ProvisioningDeviceClient.create(command.host, command.scope, transport, security);
    if (command.payload) provisioner.setProvisioningPayload(command.payload);
    const state = await provisioner.register();
    return {
      status: state.status,
      hub: state.assignedHub,
      device: state.deviceId,
      substatus: state.substatus,
      payload: state.payload,
    };
  },
};

function message(command) {
  const made = new Message(command.body);
  if (command.message_id) made.messageId = command.message_id;
  if (command.correlation_id) made.correlationId = command.correlation_id;
  if (command.content_type) made.contentType = command.content_type;
  if (command.content_encoding) made.contentEncoding = command.content_encoding;
  for (const [name, value] of Object.entries(command.properties || {})) made.properties.add(name, value);
  return made;
}

// Messages that the test settles itself.
const waiting = new Map();

function onCommand(received) {
  const properties = {};
  for (let index = 0; index < received.properties.count(); index++) {
    const item = received.properties.getItem(index);
    properties[item.key] = item.value;
  }
  say({
    event: 'command',
    body: received.getData().toString(),
    message_id: received.messageId,
    correlation_id: received.correlationId,
    ack: received.ack,
    properties,
  });
  if (properties.hold) waiting.set(received.messageId, received);
  else client.complete(received, (error) => error && say({ event: 'error', text: String(error) }));
}

function onMethod(request, response) {
  say({ event: 'method', name: request.methodName, payload: request.payload });
  if (request.methodName === 'silent') return;
  response.send(request.methodName === 'fail' ? 500 : 200, { echo: request.payload }, (error) => {
    if (error) say({ event: 'error', text: String(error) });
  });
}

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const command = JSON.parse(line);
  try {
    const result = await actions[command.do](command);
    say({ id: command.id, ok: result === undefined ? null : plain(result) });
  } catch (error) {
    say({ id: command.id, error: `${error.name}: ${error.message}` });
  }
}).on('close', () => process.exit(0));

// The SDK's twin sections carry functions beside the properties.
function plain(value) {
  return JSON.parse(JSON.stringify(value));
}
