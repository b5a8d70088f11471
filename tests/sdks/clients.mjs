// SDKs for servers, as their registries have them. Each sends to `url` three events of one user and one that no host takes,
// which must not stop the others. `settings` is all that differs from the SDK's defaults.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { RUN, counted, kept, published, sdk, secret, signing } from './host.mjs';

/** An event type or an id of this run. */
export const named = (name) => `${name} ${RUN}`;
const TOO_LONG = 'x'.repeat(201);
export const INDEXES = [0, 1, 2];
const headers = { authorization: `Bearer ${secret}` };

/** An app that sends again until the host has taken its event. Returns all answers. */
export async function again(post, { pause = 1000 } = {}) {
  const answers = [];
  for (;;) {
    const answer = await post().catch(() => 'lost');
    answers.push(answer);
    if (answer === 200) return answers;
    await sleep(pause);
  }
}

const nobody = async () => undefined;

/** Runs the SDK for Python that `send.py` knows by this name. */
function python(script, key) {
  return async (url, name, settings, ready = nobody) => {
    const file = fileURLToPath(new URL('send.py', import.meta.url));
    const child = spawn('python3', [file, script, url, key, name, RUN, JSON.stringify(settings)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ended = new Promise((done) => child.on('close', done));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, 'ready', `send.py ${script}`);
    await ready();
    child.stdin.end();
    const told = await lines.next();
    assert.equal(await ended, 0, `send.py ${script}`);
    return JSON.parse(told.value);
  };
}

/**
 * A log exporter that exports again what failed, until a deadline. OpenTelemetry's own gives a batch up after six requests, and
 * no setting changes that.
 */
const patient = (exporter, { pause, within }) => ({
  export(records, done) {
    const end = Date.now() + within;
    const attempt = () =>
      exporter.export(records, (result) => {
        if (result.code === 0 || Date.now() > end) done(result);
        else setTimeout(attempt, pause);
      });
    attempt();
  },
  forceFlush: () => exporter.forceFlush(),
  shutdown: () => exporter.shutdown(),
});

/**
 * How each SDK sends: a function of (url, name, settings, ready), which asks `ready` when it is about to send. Once the SDK has
 * done with the events, it returns `failed`, the failures that the SDK told its app, or `answers`, all that its app has seen.
 */
export const SEND = {
  'analytics-node': async (url, name, settings, ready = nobody) => {
    const { Analytics } = sdk('@segment/analytics-node');
    const failed = [];
    const analytics = new Analytics({ writeKey: secret, host: url, ...settings });
    analytics.on('error', (error) => failed.push(error));
    await ready();
    for (const index of INDEXES) {
      const messageId = `${name} ${index} ${RUN}`;
      analytics.track({ userId: 'user-1', event: named(name), messageId, properties: { index } });
    }
    analytics.track({ userId: 'user-1', event: TOO_LONG });
    analytics.identify({ userId: 'user-1', traits: { plan: 'pro' }, messageId: `identify ${name} ${RUN}` });
    await analytics.flush();
    return { failed };
  },

  'rudder-sdk-node': async (url, name, settings, ready = nobody) => {
    const RudderAnalytics = sdk('@rudderstack/rudder-sdk-node');
    const failed = [];
    // Without a handler, it rejects a promise that nobody holds, which ends the process.
    const errorHandler = (error) => failed.push(error);
    const options = { dataPlaneUrl: url, logLevel: 'none', errorHandler, ...settings };
    const client = new (RudderAnalytics.default ?? RudderAnalytics)(secret, options);
    await ready();
    for (const index of INDEXES) {
      const messageId = `${name} ${index} ${RUN}`;
      client.track({ userId: 'user-1', event: named(name), messageId, properties: { index } });
    }
    client.track({ userId: 'user-1', event: TOO_LONG });
    // The first event was sent by itself.
    await client.flush();
    return { failed };
  },

  'posthog-node': async (url, name, settings, ready = nobody) => {
    const { PostHog } = sdk('posthog-node');
    const failed = [];
    const client = new PostHog(published, { host: url, ...settings });
    client.on('error', (error) => failed.push(error));
    await ready();
    for (const index of INDEXES) client.capture({ distinctId: 'user-1', event: named(name), properties: { index } });
    client.capture({ distinctId: 'user-1', event: TOO_LONG });
    await client.flush().catch(() => undefined);
    await client.shutdown();
    return { failed };
  },

  'OpenTelemetry for JavaScript': async (url, name, { resend, flushWithin, ...settings }, ready = nobody) => {
    const { OTLPLogExporter } = sdk('@opentelemetry/exporter-logs-otlp-http');
    const { BatchLogRecordProcessor, LoggerProvider } = sdk('@opentelemetry/sdk-logs');
    const failed = [];
    const otlp = new OTLPLogExporter({ url: `${url}/v1/logs`, headers });
    const told = {
      export: (records, done) =>
        otlp.export(records, (result) => {
          if (result.code !== 0) failed.push(result.error);
          done(result);
        }),
      forceFlush: () => otlp.forceFlush(),
      shutdown: () => otlp.shutdown(),
    };
    const exporter = resend ? patient(told, resend) : told;
    const provider = new LoggerProvider({ processors: [new BatchLogRecordProcessor({ exporter, ...settings })] });
    await ready();
    for (let index = 0; index < 512; index++) {
      const attributes = { 'user.id': `user-${index % 2}`, index };
      provider.getLogger('tests').emit({ eventName: index === 7 ? TOO_LONG : named(name), body: 'done', attributes });
    }
    await provider.forceFlush({ timeoutMillis: flushWithin }).catch(() => undefined);
    await provider.shutdown();
    return { failed };
  },

  'CloudEvents for JavaScript': async (url, name, settings, ready = nobody) => {
    const { CloudEvent, Mode, emitterFor, httpTransport } = sdk('cloudevents');
    const answers = [];
    await ready();
    for (const index of [0, 1]) {
      const mode = [Mode.BINARY, Mode.STRUCTURED][index];
      const emit = emitterFor(httpTransport(`${url}/cloudevents`), { mode });
      const data = { index, userId: 'user-1' };
      const event = new CloudEvent({ id: `${name} ${index} ${RUN}`, type: named(name), source: '/tests', data });
      // The transport hides the status: what it resolves to may be a refusal, as the body says.
      const post = async () => {
        const { success, code } = JSON.parse((await emit(event, { headers })).body);
        return success ? 200 : code;
      };
      answers.push(...(await again(post, settings)));
    }
    return { answers };
  },

  'Standard Webhooks for JavaScript': async (url, name, settings, ready = nobody) => {
    const { Webhook } = sdk('standardwebhooks');
    const id = `${name} 0 ${RUN}`;
    await ready();
    const data = { index: 0, user_id: 'user-1' };
    const body = JSON.stringify({ type: named(name), timestamp: new Date().toISOString(), data });
    const post = async (signed) => {
      const now = new Date();
      const signature = new Webhook(signing).sign(id, now, signed);
      const headers = {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(now / 1000)),
        'webhook-signature': signature,
      };
      return (await fetch(`${url}/webhooks/tests`, { method: 'POST', headers, body })).status;
    };
    // A sender sends again, signed anew, what was not answered with 2xx.
    const answers = await again(() => post(body), settings);
    return { answers, forged: await post(`${body} `) };
  },

  'analytics-python': python('segment', secret),
  'rudder-sdk-python': python('rudderstack', secret),
  'posthog-python': python('posthog', published),
  'OpenTelemetry for Python': python('opentelemetry', secret),
  'CloudEvents for Python': python('cloudevents', secret),
  'Standard Webhooks for Python': python('standardwebhooks', signing),
};

/** How many events of a client count, and how many users they have. */
export function share(client) {
  if (client.startsWith('OpenTelemetry')) return [511, 2];
  if (client.startsWith('CloudEvents')) return [2, 1];
  return [client.startsWith('Standard') ? 1 : 3, 1];
}

/** Waits until all that a client has sent under this name is there, and counts once. */
export async function arrived(client, name) {
  await counted(named(name), ...share(client));
}

/** The id that a client gave its event, if the test chooses it. */
export function idOf(client, name, index) {
  if (/posthog|OpenTelemetry/.test(client)) return undefined;
  const id = `${name} ${index} ${RUN}`;
  return client.startsWith('CloudEvents') ? `/tests#${id}` : id;
}

/** Checks an event that has arrived, and returns it. */
export async function checked(id, name, index) {
  const event = await kept(id);
  assert.deepEqual([event.userId, event.eventType, event.properties.index], ['user-1', named(name), index]);
  assert.ok(Math.abs(Date.parse(event.timestamp) - Date.parse(event.receivedAt)) < 300_000, event.timestamp);
  return event;
}
