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
const PATIENCE = 120_000;

/** What core answers, as its vectors have it. */
const vectors = JSON.parse(readFileSync(new URL('../vectors/clients.expected.json', import.meta.url)));
const recorded = (name) => vectors.find((vector) => vector.name === name).reply;
const answers = (unavailable, overloaded) => ({ unavailable: recorded(unavailable), overloaded: recorded(overloaded) });
/** By the path of a request, since SDKs are told to wait for as long as suits them. CloudEvents and webhooks are answered as Segment's. */
const ANSWERS = [
  // PostHog's routes never answer 429.
  [/^\/(batch|capture|e|i\/v0)\b/, answers('Segment: the store fails for one of two', 'PostHog: the store is full')],
  [/^\/v1\/logs\b/, answers('OTLP: the store fails', 'OTLP: the store is full')],
  [/^\/events\b/, answers('the store fails a page', 'the store is full for a page')],
  [/^/, answers('Segment: the store fails for one of two', 'Segment: the store is full')],
];
const answersOf = (path) => ANSWERS.find(([route]) => route.test(path))[1];
assert.deepEqual(
  ANSWERS.map(([, { unavailable, overloaded }]) => [unavailable.status, overloaded.status]),
  [[503, 503], [503, 429], [503, 429], [503, 429]],
);
/** What core adds for a page. Without it, the page could not tell an answer from a broken connection. */
const SHARED = recorded('the store fails a page').headers.filter(([name]) => /^access-control|^vary/.test(name));
const shared = (origin) => SHARED.map(([name, value]) => [name, /allow-origin/.test(name) ? origin : value]);

/** The JSON of a body, which may be compressed. `undefined` if it is no JSON. */
function read(body) {
  try {
    return JSON.parse(isGzip(body) ? gunzipSync(body) : body);
  } catch {
    return undefined;
  }
}
const isGzip = (body) => body[0] === 0x1f && body[1] === 0x8b;

/** The lists of events in a batch of Segment, PostHog or OpenTelemetry. */
function lists(batch) {
  const records = batch.resourceLogs?.flatMap(({ scopeLogs }) => scopeLogs.map(({ logRecords }) => logRecords));
  return [batch, batch.batch, ...(records ?? [])].filter(Array.isArray);
}

/** The same batch with the first half of its events. What is no batch in JSON stays whole. */
function half(body) {
  const batch = read(body);
  if (!batch) return body;
  for (const list of lists(batch)) list.splice(Math.ceil(list.length / 2));
  const text = Buffer.from(JSON.stringify(batch));
  return isGzip(body) ? gzipSync(text) : text;
}

/** The id of the first event in a request, which stays the same when a client sends the request again. */
function firstId({ headers }, body) {
  const json = read(body) ?? {};
  const event = lists(json)[0]?.[0] ?? json;
  return headers['webhook-id'] ?? headers['ce-id'] ?? event.messageId ?? event.uuid ?? event.id ?? '';
}

/**
 * A way to the host that fails, for one test: each request that sends events meets all faults, one each time that it is sent.
 * `all` waits until they have, and are answered. Instead of a list, `faults` may be a function that tells the fault of this moment.
 *   unavailable, overloaded: core's answer, and nothing is kept     reset: the connection breaks before the request
 *   partly: half of the batch is kept, and the answer is `unavailable`
 *   lost: the events are kept, and the connection breaks before the answer
 * `answers` has the status of each answer to such a request, or 0 if there was none, and the time.
 */
export async function way(test, faults = []) {
  const requests = new Map();
  const answers = [];
  /** What is known of a request that sends events: the faults that it has yet to meet, and whether it is answered. */
  const known = (ask, body) => {
    const id = firstId(ask, body);
    if (!requests.has(id)) requests.set(id, { left: Array.isArray(faults) ? [...faults] : [], isDone: false });
    return requests.get(id);
  };
  const server = createServer(async (ask, answer) => {
    const parts = await ask.toArray().catch(() => null);
    // A page that goes ends what it has begun to send. Nobody waits for an answer to that.
    if (!parts) return;
    // A browser repeats a request itself if a connection breaks that it has used before. So none is used twice.
    answer.shouldKeepAlive = false;
    const sends = ask.method === 'POST' && !/^\/(flags|decide)/.test(ask.url);
    const whole = Buffer.concat(parts);
    const its = sends ? known(ask, whole) : { left: [] };
    const fault = sends && !Array.isArray(faults) ? faults() : its.left.shift();
    const note = (status) => {
      if (sends) answers.push({ status, at: Date.now() });
    };
    const fail = ({ status, headers, body }) => {
      note(status);
      const { origin } = ask.headers;
      const sent = Object.fromEntries([...headers, ...(origin ? shared(origin) : [])]);
      // Where each fault comes once, nobody need wait as long as in an outage.
      const seconds = Math.min(sent['retry-after'], Array.isArray(faults) ? 2 : Infinity);
      sent['retry-after'] = seconds;
      if (sent['x-ratelimit-reset']) sent['x-ratelimit-reset'] = Math.floor(Date.now() / 1000) + seconds;
      answer.writeHead(status, sent).end(body);
    };
    const lose = () => {
      note(0);
      ask.socket.destroy();
    };
    if (fault === 'reset') return void lose();
    const answered = answersOf(ask.url)[fault];
    if (answered) return void fail(answered);
    const body = fault === 'partly' ? half(whole) : whole;
    const { hostname, port } = new URL(ISOTHERM_URL);
    const { 'transfer-encoding': _, ...headers } = ask.headers;
    if (sends) headers['content-length'] = body.length;
    const onward = request({ hostname, port, path: ask.url, method: ask.method, headers }, (reply) => {
      if (fault === 'lost') return void reply.resume().on('end', lose);
      if (fault === 'partly') return void reply.resume().on('end', () => fail(answersOf(ask.url).unavailable));
      note(reply.statusCode);
      its.isDone = true;
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
    while (!requests.size || [...requests.values()].some(({ isDone }) => !isDone)) {
      assert.ok(Date.now() < end, `faults that were not met: ${JSON.stringify([...requests])}`);
      await sleep(50);
    }
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
