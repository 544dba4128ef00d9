// The blob library that the Node device SDK brings, unmodified, against the hub's blob endpoint. Argument: JSON with an address for
// each upload.
'use strict';

const { AnonymousCredential, BlockBlobClient, newPipeline } = require('@azure/storage-blob');
const { Readable } = require('stream');
const crypto = require('crypto');

async function main() {
  const addresses = JSON.parse(process.argv[2]);
  const pipeline = newPipeline(new AnonymousCredential(), { retryOptions: { maxTries: 2 } });
  const client = (name) => new BlockBlobClient(addresses[name], pipeline);
  const facts = {};

  const whole = crypto.randomBytes(300000);
  facts.whole = (await client('whole').upload(whole, whole.length))._response.status;
  if (!(await client('whole').downloadToBuffer()).equals(whole)) throw new Error('another file came back');

  // As the device SDK does it: a stream in blocks of 4 MiB, 20 at once.
  const large = crypto.randomBytes(12000000);
  facts.stream = (await client('blocks').uploadStream(Readable.from([large]), 4194304, 20))._response.status;
  if (!(await client('blocks').downloadToBuffer()).equals(large)) throw new Error('another file came back');

  try {
    await client('too_large').upload(Buffer.alloc(20000001), 20000001);
    facts.too_large = 'taken';
  } catch (error) {
    facts.too_large = [error.statusCode, error.code];
  }
  console.log(JSON.stringify(facts));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
