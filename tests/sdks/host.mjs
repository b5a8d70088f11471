// The host that SDKs send to, and what stands between them and it.
//   ISOTHERM_URL  the host, with the keys below    SDKS  the folder with the SDKs for JavaScript
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';

const { ISOTHERM_URL, SDKS, ISOTHERM_TENANT, ISOTHERM_SECRET, ISOTHERM_PUBLIC, ISOTHERM_READER, ISOTHERM_WEBHOOKS } = process.env;
export const [secret, published, signing] = [ISOTHERM_SECRET, ISOTHERM_PUBLIC, ISOTHERM_WEBHOOKS];
/** An SDK for JavaScript, as its registry has it. */
export const sdk = createRequire(join(SDKS, 'package.json'));
/** What tells the events of this run from those of others. */
export const RUN = Math.random().toString(36).slice(2);
/** Generous: the machine may be busy with other work. */
const PATIENCE = 90_000;

/** What core answers, as its vectors have it. */
const vectors = JSON.parse(readFileSync(new URL('../vectors/clients.expected.json', import.meta.url)));
const recorded = (name) => vectors.find((vector) => vector.name === name).reply;
const ANSWERS = {
  unavailable: recorded('Segment: the store fails for one of two'),
  overloaded: recorded('Segment: the store is full'),
};
/** PostHog's routes never answer 429. */
const POSTHOG = { ...ANSWERS, overloaded: recorded('PostHog: the store is full') };
const IS_POSTHOG = /^\/(batch|capture|e|i\/v0)\b/;
assert.deepEqual([ANSWERS.unavailable.status, ANSWERS.overloaded.status, POSTHOG.overloaded.status], [503, 429, 503]);
/** What core adds for a page. Without it, the page could not tell an answer from a broken connection. */
const SHARED = recorded('the store fails a page').headers.filter(([name]) => /^access-control|^vary/.test(name));
const shared = (origin) => SHARED.map(([name, value]) => [name, /allow-origin/.test(name) ? origin : value]);

/** The lists of events in a batch of Segment, PostHog or OpenTelemetry, in JSON. */
function lists(batch) {
  const records = batch.resourceLogs?.flatMap(({ scopeLogs }) => scopeLogs.map(({ logRecords }) => logRecords));
  return [batch, batch.batch, ...(records ?? [])].filter(Array.isArray);
}

/** The same batch with the first half of its events. What is no JSON stays whole. */
function half(body) {
  const isGzip = body[0] === 0x1f && body[1] === 0x8b;
  try {
    const batch = JSON.parse(isGzip ? gunzipSync(body) : body);
    for (const list of lists(batch)) list.splice(Math.ceil(list.length / 2));
    const text = Buffer.from(JSON.stringify(batch));
    return isGzip ? gzipSync(text) : text;
  } catch {
    return body;
  }
}

/**
 * A way to the host that fails, for one test: the first requests that send events meet one fault each. `all` waits until every
 * fault was met. Instead of a list, `faults` may be a function that tells the fault of this moment.
 *   none: no fault     unavailable, overloaded: core's answer, and nothing is kept     reset: the connection breaks before the request
 *   partly: half of the batch is kept, and the answer is `unavailable`
 *   lost: the events are kept, and the connection breaks before the answer
 * `answers` has the status of each answer to such a request, or 0 if there was none, and the time.
 */
export async function way(test, faults = []) {
  const left = Array.isArray(faults) ? [...faults] : undefined;
  const met = [];
  const answers = [];
  const server = createServer(async (ask, answer) => {
    const parts = [];
    for await (const part of ask) parts.push(part);
    // A browser repeats a request itself if a connection breaks that it has used before. So none is used twice.
    answer.shouldKeepAlive = false;
    const sends = ask.method === 'POST' && !/^\/(flags|decide)/.test(ask.url);
    const fault = sends ? (left ? left.shift() : faults()) : undefined;
    const note = (status) => sends && answers.push({ status, at: Date.now() });
    if (fault) met.push(fault);
    const fail = ({ status, headers, body }) => {
      note(status);
      const { origin } = ask.headers;
      answer.writeHead(status, Object.fromEntries([...headers, ...(origin ? shared(origin) : [])])).end(body);
    };
    const lose = () => {
      note(0);
      ask.socket.destroy();
    };
    if (fault === 'reset') return void lose();
    const answered = (IS_POSTHOG.test(ask.url) ? POSTHOG : ANSWERS)[fault];
    if (answered) return void fail(answered);
    const body = fault === 'partly' ? half(Buffer.concat(parts)) : Buffer.concat(parts);
    const { hostname, port } = new URL(ISOTHERM_URL);
    const { 'transfer-encoding': _, ...headers } = ask.headers;
    if (sends) headers['content-length'] = body.length;
    const onward = request({ hostname, port, path: ask.url, method: ask.method, headers }, (reply) => {
      if (fault === 'lost') return void reply.resume().on('end', lose);
      if (fault === 'partly') return void reply.resume().on('end', () => fail(ANSWERS.unavailable));
      note(reply.statusCode);
      const { connection, 'keep-alive': __, ...named } = reply.headers;
      answer.writeHead(reply.statusCode, named);
      reply.pipe(answer);
    });
    onward.on('error', lose);
    answer.on('close', () => onward.destroy());
    onward.end(body);
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
  return { url: `http://127.0.0.1:${port}`, all, answers };
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
