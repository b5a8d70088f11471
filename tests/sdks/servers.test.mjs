// SDKs for servers, as their registries have them, send their events to a host, on a way that fails.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { RUN, counted, kept, published, sdk, secret, signing, way } from './host.mjs';

/** An event type or an id of this run. */
const named = (name) => `${name} ${RUN}`;
const TOO_LONG = 'x'.repeat(201);
const FAULTS = ['unavailable', 'lost', 'overloaded'];

/** What every SDK sends: three events of one user, and one that no host takes, which must not stop the others. */
async function check(name, library) {
  for (const index of [0, 1, 2]) {
    const event = await kept(`${name} ${index} ${RUN}`);
    assert.deepEqual([event.userId, event.eventType, event.properties.index], ['user-1', named(name), index]);
    assert.match(JSON.stringify(event.properties), library);
    assert.ok(Math.abs(Date.parse(event.timestamp) - Date.parse(event.receivedAt)) < 300_000, event.timestamp);
  }
  await counted(named(name), 3);
}

/** Runs the SDK for Python that `send.py` knows by this name. */
async function python(name, url, key) {
  const script = fileURLToPath(new URL('send.py', import.meta.url));
  const child = spawn('python3', [script, name, url, key, RUN], { stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise((done) => child.on('close', done));
  assert.equal(code, 0, `send.py ${name}`);
}

describe('SDKs for servers', { concurrency: true }, () => {
  test('analytics-node', async (t) => {
    const { Analytics } = sdk('@segment/analytics-node');
    const path = await way(t, FAULTS);
    const analytics = new Analytics({ writeKey: secret, host: path.url, flushAt: 4, maxRetries: 10 });
    const failed = [];
    analytics.on('error', (error) => failed.push(error));
    const name = 'analytics-node';
    for (const index of [0, 1, 2]) {
      analytics.track({
        userId: 'user-1',
        event: named(name),
        messageId: `${name} ${index} ${RUN}`,
        properties: { index },
      });
    }
    analytics.track({ userId: 'user-1', event: TOO_LONG });
    analytics.identify({ userId: 'user-1', traits: { plan: 'pro' }, messageId: `identify ${RUN}` });
    await analytics.closeAndFlush();
    assert.deepEqual(failed, []);
    await check(name, /@segment\/analytics-node/);
    const identify = await kept(`identify ${RUN}`);
    assert.deepEqual([identify.eventType, identify.properties.plan], ['identify', 'pro']);
    await path.all();
  });

  test('rudder-sdk-node', async (t) => {
    const RudderAnalytics = sdk('@rudderstack/rudder-sdk-node');
    const path = await way(t, ['unavailable', 'lost']);
    const options = { dataPlaneUrl: path.url, flushAt: 4, retryCount: 5, logLevel: 'none' };
    const client = new (RudderAnalytics.default ?? RudderAnalytics)(secret, options);
    const name = 'rudder-sdk-node';
    for (const index of [0, 1, 2]) {
      client.track({ userId: 'user-1', event: named(name), messageId: `${name} ${index} ${RUN}`, properties: { index } });
    }
    client.track({ userId: 'user-1', event: TOO_LONG });
    await client.flush();
    await check(name, /context_library_name/);
    await path.all();
  });

  test('posthog-node', async (t) => {
    const { PostHog } = sdk('posthog-node');
    const path = await way(t, FAULTS);
    const options = { host: path.url, flushAt: 4, fetchRetryCount: 5, fetchRetryDelay: 100, disableGeoip: true };
    const client = new PostHog(published, options);
    const name = 'posthog-node';
    const uuids = [0, 1, 2].map(() => crypto.randomUUID());
    for (const [index, uuid] of uuids.entries()) {
      client.capture({ distinctId: 'user-1', event: named(name), uuid, properties: { index } });
    }
    client.capture({ distinctId: 'user-1', event: TOO_LONG });
    await client.shutdown(60_000);
    for (const [index, uuid] of uuids.entries()) {
      const event = await kept(uuid);
      assert.deepEqual([event.userId, event.eventType, event.properties.index], ['user-1', named(name), index]);
      assert.equal(event.properties.$lib, 'posthog-node');
    }
    await counted(named(name), 3);
    await path.all();
  });

  test('CloudEvents for JavaScript', async (t) => {
    const { CloudEvent, Mode, emitterFor, httpTransport } = sdk('cloudevents');
    const path = await way(t);
    const name = 'cloudevents';
    const emit = (mode) => emitterFor(httpTransport(`${path.url}/cloudevents`), { mode });
    for (const [index, mode] of [Mode.BINARY, Mode.STRUCTURED].entries()) {
      const data = { index, userId: 'user-1' };
      const event = new CloudEvent({ id: `${index} ${RUN}`, type: named(name), source: '/tests', data });
      const headers = { authorization: `Bearer ${secret}` };
      const { body } = await emit(mode)(event, { headers });
      assert.match(String(body), /"accepted":1/);
      // The SDK sends once: what is to be sent again is the app's to know, and counts once.
      assert.match(String((await emit(mode)(event, { headers })).body), /"duplicate":1/);
      const found = await kept(`/tests#${index} ${RUN}`);
      assert.deepEqual([found.userId, found.eventType, found.properties.index], ['user-1', named(name), index]);
    }
    await counted(named(name), 2);
    await path.all();
  });

  test('OpenTelemetry for JavaScript', async (t) => {
    const { OTLPLogExporter } = sdk('@opentelemetry/exporter-logs-otlp-http');
    const { BatchLogRecordProcessor, LoggerProvider } = sdk('@opentelemetry/sdk-logs');
    const path = await way(t, ['unavailable', 'lost']);
    const headers = { authorization: `Bearer ${secret}` };
    const exporter = new OTLPLogExporter({ url: `${path.url}/v1/logs`, headers, timeoutMillis: 60_000 });
    const processor = new BatchLogRecordProcessor({ exporter, exportTimeoutMillis: 60_000, maxExportBatchSize: 512 });
    const provider = new LoggerProvider({ processors: [processor] });
    const name = 'opentelemetry-js';
    for (let index = 0; index < 512; index++) {
      const attributes = { 'user.id': `user-${index % 2}`, index };
      provider.getLogger('tests').emit({ eventName: index === 7 ? TOO_LONG : named(name), body: 'done', attributes });
    }
    await provider.forceFlush();
    await provider.shutdown();
    await counted(named(name), 511, 2);
    await path.all();
  });

  for (const [name, key, faults, library] of [
    ['analytics-python', secret, ['unavailable', 'lost', 'overloaded'], /analytics-python/],
    ['rudder-sdk-python', secret, ['unavailable', 'lost'], /context_library_name/],
  ]) {
    test(name, async (t) => {
      const path = await way(t, faults);
      await python(name, path.url, key);
      await check(name, library);
      await path.all();
    });
  }

  test('posthog-python', async (t) => {
    const path = await way(t, ['unavailable', 'lost', 'overloaded']);
    await python('posthog-python', path.url, published);
    await counted(named('posthog-python'), 3);
    await path.all();
  });

  test('Standard Webhooks, as its libraries sign', async (t) => {
    const { Webhook } = sdk('standardwebhooks');
    const path = await way(t, ['unavailable', 'lost']);
    const name = 'standardwebhooks';
    const body = JSON.stringify({ type: named(name), timestamp: new Date().toISOString(), data: { index: 0, user_id: 'user-1' } });
    const id = `${name} 0 ${RUN}`;
    const post = async (signed) => {
      const now = new Date();
      const headers = {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(now / 1000)),
        'webhook-signature': new Webhook(signing).sign(id, now, signed),
      };
      return fetch(`${path.url}/webhooks/tests`, { method: 'POST', headers, body });
    };
    // A sender sends again, signed anew, what was not answered with 2xx.
    const answers = [];
    for (let tries = 0; tries < 3; tries++) answers.push(await post(body).then((answer) => answer.status, () => 'lost'));
    assert.deepEqual(answers, [503, 'lost', 200]);
    assert.equal((await post(`${body} `)).status, 401);
    const found = await kept(id);
    assert.deepEqual([found.userId, found.eventType, found.properties], ['user-1', named(name), { index: 0 }]);
    await counted(named(name), 1);

    await python('standardwebhooks-python', path.url, signing);
    assert.equal((await kept(`standardwebhooks-python 0 ${RUN}`)).properties.index, 0);
    await counted(named('standardwebhooks-python'), 1);
    await path.all();
  });

  test('CloudEvents for Python', async (t) => {
    const path = await way(t);
    await python('cloudevents-python', path.url, secret);
    for (const index of [0, 1]) {
      const found = await kept(`/tests#cloudevents-python ${index} ${RUN}`);
      assert.deepEqual([found.userId, found.properties.index], ['user-1', index]);
    }
    await counted(named('cloudevents-python'), 2);
    await path.all();
  });

  test('OpenTelemetry for Python, in Protocol Buffers', async (t) => {
    const path = await way(t, ['unavailable', 'lost']);
    await python('opentelemetry-python', path.url, secret);
    await counted(named('opentelemetry-python'), 511, 2);
    await path.all();
  });
});
