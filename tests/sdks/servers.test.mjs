// SDKs for servers, with their defaults, send their events to a host, on a way that fails.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import { INDEXES, SEND, arrived, checked, idOf, share } from './clients.mjs';
import { RUN, kept, way } from './host.mjs';

/** As many as the SDKs with the fewest retries survive. The last answer tells that one of the events is refused for good. */
const FAULTS = ['overloaded', 'partly', 'lost'];
/** What the host's answers are then, as the SDK sees them: it sends all again, and nothing once more after 200. */
const SEEN = [429, 503, 0, 200];

/** Runs a client on a way that fails, and checks that its events arrive. */
async function deliver(t, client) {
  const path = await way(t, FAULTS);
  const told = await SEND[client](path.url, client, {});
  assert.deepEqual(told.failed ?? [], []);
  await arrived(client, client);
  await path.all();
  const events = [];
  for (const index of INDEXES.slice(0, share(client)[0])) {
    const id = idOf(client, client, index);
    if (id) events.push(await checked(id, client, index));
  }
  return { ...told, events, seen: path.answers.map(({ status }) => status) };
}

describe('SDKs for servers', { concurrency: true }, () => {
  test('analytics-node', async (t) => {
    const { events, seen } = await deliver(t, 'analytics-node');
    assert.deepEqual(seen, SEEN);
    assert.match(JSON.stringify(events), /@segment\/analytics-node/);
    const identify = await kept(`identify analytics-node ${RUN}`);
    assert.deepEqual([identify.eventType, identify.properties.plan], ['identify', 'pro']);
  });

  test('rudder-sdk-node', async (t) => {
    const { events, seen } = await deliver(t, 'rudder-sdk-node');
    // Its first event goes by itself.
    assert.deepEqual(seen, [...SEEN, ...SEEN]);
    assert.match(JSON.stringify(events), /context_library_name/);
  });

  test('posthog-node', async (t) => {
    const { seen } = await deliver(t, 'posthog-node');
    assert.deepEqual(seen, [503, 503, 0, 200]);
  });

  test('OpenTelemetry for JavaScript', async (t) => {
    const { seen } = await deliver(t, 'OpenTelemetry for JavaScript');
    assert.deepEqual(seen, SEEN);
  });

  test('CloudEvents for JavaScript', async (t) => {
    const { answers } = await deliver(t, 'CloudEvents for JavaScript');
    assert.deepEqual(answers, Array(2).fill(['overloaded', 'unavailable', 'lost', 200]).flat());
  });

  test('CloudEvents for Python', async (t) => {
    const { answers } = await deliver(t, 'CloudEvents for Python');
    assert.deepEqual(answers, Array(2).fill([429, 503, 'lost', 200]).flat());
  });

  test('Standard Webhooks for JavaScript', async (t) => {
    const { answers, forged } = await deliver(t, 'Standard Webhooks for JavaScript');
    assert.deepEqual([answers, forged], [[429, 503, 'lost', 200], 401]);
  });

  test('Standard Webhooks for Python', async (t) => {
    const { answers } = await deliver(t, 'Standard Webhooks for Python');
    assert.deepEqual(answers, [429, 503, 'lost', 200]);
  });

  test('analytics-python', async (t) => {
    const { events } = await deliver(t, 'analytics-python');
    assert.match(JSON.stringify(events), /analytics-python/);
  });

  test('rudder-sdk-python', async (t) => {
    const { events } = await deliver(t, 'rudder-sdk-python');
    assert.match(JSON.stringify(events), /context_library_name/);
  });

  test('posthog-python', async (t) => void (await deliver(t, 'posthog-python')));

  // In Protocol Buffers, which the way does not cut: at `partly` the host keeps all.
  test('OpenTelemetry for Python', async (t) => void (await deliver(t, 'OpenTelemetry for Python')));
});

test('the docs tell of the versions that are tested', () => {
  const text = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
  const docs = text('docs/doors.md').split('### When the store is down')[1].split('## Mappings')[0];
  const clients = docs.split('\n').map((row) => row.split('|')[1] ?? '');
  const { dependencies } = JSON.parse(text('xtask/sdks/package.json'));
  // The other parts of OpenTelemetry have versions of their own.
  const parts = /^@opentelemetry\/(api-logs|resources|sdk-logs)$/;
  const named = Object.entries(dependencies).filter(([name]) => !parts.test(name));
  const python = text('xtask/sdks/requirements.in').trim().split('\n');
  for (const [name, version] of [...named, ...python.map((line) => line.split('=='))]) {
    // Some go by their short names there.
    const short = name.split('/').at(-1).replace(/^segment-/, '');
    const words = (client) => client.split(/[ ,:/]+/);
    const isTold = (client) => client.includes(short) && words(client).includes(version);
    assert.ok(clients.some(isTold), `docs/doors.md does not tell of ${name} ${version}`);
  }
});
