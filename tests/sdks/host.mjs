// The host that SDKs send to, and what stands between them and it.
//   ISOTHERM_URL  the host, with the keys below    SDKS  the folder with the SDKs for JavaScript
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const { ISOTHERM_URL, SDKS, ISOTHERM_TENANT, ISOTHERM_SECRET, ISOTHERM_PUBLIC, ISOTHERM_READER, ISOTHERM_WEBHOOKS } = process.env;
export const [secret, published, signing] = [ISOTHERM_SECRET, ISOTHERM_PUBLIC, ISOTHERM_WEBHOOKS];
/** An SDK for JavaScript, as its registry has it. */
export const sdk = createRequire(join(SDKS, 'package.json'));
/** What tells the events of this run from those of others. */
export const RUN = Math.random().toString(36).slice(2);
/** Generous: the machine may be busy with other work. */
const PATIENCE = 90_000;

/** What core answers, as its vectors have it. */
const recorded = (name) => {
  const vectors = JSON.parse(readFileSync(new URL('../vectors/clients.expected.json', import.meta.url)));
  return vectors.find((vector) => vector.name === name).reply;
};
const ANSWERS = {
  unavailable: recorded('Segment: the store fails for one of two'),
  overloaded: recorded('Segment: the store is full'),
};
assert.deepEqual([ANSWERS.unavailable.status, ANSWERS.overloaded.status], [503, 429]);

/**
 * A way to the host that fails, for one test: the first requests that send events meet one fault each. `all` waits until every
 * fault was met.
 *   unavailable, overloaded: core's answer, and nothing is kept     reset: the connection breaks before the request
 *   lost: the events are kept, and the connection breaks before the answer
 */
export async function way(test, faults = []) {
  const left = [...faults];
  const met = [];
  const server = createServer(async (ask, answer) => {
    const parts = [];
    for await (const part of ask) parts.push(part);
    const fault = ask.method === 'POST' && !/^\/(flags|decide)/.test(ask.url) ? left.shift() : undefined;
    if (fault) met.push(fault);
    if (fault === 'reset') return void ask.socket.destroy();
    if (ANSWERS[fault]) {
      const { status, headers, body } = ANSWERS[fault];
      return void answer.writeHead(status, Object.fromEntries(headers)).end(body);
    }
    const { hostname, port } = new URL(ISOTHERM_URL);
    const options = { hostname, port, path: ask.url, method: ask.method, headers: ask.headers };
    const onward = request(options, (reply) => {
      if (fault === 'lost') return void reply.resume().on('end', () => ask.socket.destroy());
      answer.writeHead(reply.statusCode, reply.headers);
      reply.pipe(answer);
    });
    onward.on('error', () => ask.socket.destroy());
    onward.end(Buffer.concat(parts));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address();
  const all = async () => {
    const end = Date.now() + PATIENCE;
    while (met.length < faults.length && Date.now() < end) await sleep(50);
    assert.deepEqual(met, faults, 'the faults that the SDK has met');
  };
  return { url: `http://127.0.0.1:${port}`, all };
}

/** The id of the event that a client calls `messageId`. */
export function eventId(messageId) {
  const tenant = Buffer.from(ISOTHERM_TENANT);
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(tenant.length));
  const hash = createHash('sha256').update(length).update(tenant).update(messageId).digest();
  let bits = BigInt(`0x${hash.subarray(0, 16).toString('hex')}`);
  let id = '';
  for (let at = 0; at < 26; at++, bits >>= 5n) id = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'[Number(bits & 31n)] + id;
  return `evt_${id}`;
}

const get = (path) => fetch(ISOTHERM_URL + path, { headers: { authorization: `Bearer ${ISOTHERM_READER}` } });

/** Asks until the answer satisfies `is`. */
export async function until(path, is) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const answer = await get(path);
    const body = await answer.json();
    if (answer.status === 200 && is(body)) return body;
    assert.ok(Date.now() < end, `${path}: ${answer.status} ${JSON.stringify(body)}`);
    await sleep(200);
  }
}

/** The event that a client called `messageId`, once it is there. */
export const kept = (messageId) => until(`/events/${eventId(messageId)}`, () => true);

/** Waits until a report counts this many events of a type, and as many users of them. */
export async function counted(eventType, count, users = 1) {
  const path = `/reports/summary?metrics=count,users&eventType=${encodeURIComponent(eventType)}`;
  const { rows } = await until(path, ({ rows: [row] }) => row.count >= count);
  assert.deepEqual([rows[0].count, rows[0].users], [count, users], eventType);
}
