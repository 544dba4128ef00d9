// Drives the unmodified Node service SDKs (hub and provisioning, REST): JSON commands on standard input, JSON results on standard output.
// {"id": 1, "do": "call", "client": "registry", "name": "getTwin", "arguments": [...]} calls a method of the SDK.
'use strict';

const readline = require('readline');
const iothub = require('azure-iothub');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');

const makers = {
  registry: (text) => iothub.Registry.fromConnectionString(text),
  client: (text) => iothub.Client.fromConnectionString(text),
  job: (text) => iothub.JobClient.fromConnectionString(text),
  digital_twin: (text) => new iothub.DigitalTwinClient(new iothub.IoTHubTokenCredentials(text)),
  provisioning: (text) => ProvisioningServiceClient.fromConnectionString(text),
};
const made = new Map();

async function call(command) {
  if (!made.has(command.client)) made.set(command.client, makers[command.client](command.connection_string));
  const client = made.get(command.client);
  // With a callback, because some of the SDK's methods answer no promise.
  const result = await called((done) => client[command.name](...(command.arguments || []), done));
  return plain(result && result.responseBody !== undefined ? result.responseBody : result);
}

function called(ask) {
  return new Promise((resolve, reject) => ask((error, result) => (error ? reject(error) : resolve(result))));
}

// All rows of a query, page by page, and how many pages there were.
async function query(command) {
  if (!made.has(command.client)) made.set(command.client, makers[command.client](command.connection_string));
  const asked = made.get(command.client)[command.name](...(command.arguments || []));
  const rows = [];
  let pages = 0;
  do {
    // The form without a callback begins at the first page each time.
    const page = await called((done) => asked.next(done));
    pages += 1;
    rows.push(...plain(page));
  } while (asked.hasMoreResults);
  return { rows, pages };
}

function plain(value) {
  if (value === undefined) return null;
  return JSON.parse(JSON.stringify(value, (key, member) => (key.startsWith('_') ? undefined : member)));
}

const actions = { call, query };

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { id: command.id, ok: await actions[command.do](command) };
  } catch (error) {
    const status = error.response && error.response.statusCode;
    answer = { id: command.id, error: `${error.name} ${status}: ${error.message}` };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}).on('close', () => process.exit(0));
