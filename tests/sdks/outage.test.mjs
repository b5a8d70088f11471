// The store is down for a minute. All SDKs send as it begins, and in the end everything is there, once.
//   ISOTHERM_DATA  the folder with the host's store
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { SEND, arrived, named } from './clients.mjs';
import { counted, way } from './host.mjs';
import { open } from './pages.mjs';

const { ISOTHERM_DATA } = process.env;
const MINUTE = 60_000;

/**
 * The ways in which a store is down. Each is another test of a client: the lock costs it few retries and much time, the
 * answers cost it many retries.
 */
const OUTAGES = {
  // Another process holds the store, and the host answers 503 after 4 to 9 seconds.
  locked: () => undefined,
  // The host answers 503 at once, as it does where its store refuses.
  unavailable: () => (Date.now() < end ? 'unavailable' : undefined),
  // The host answers 429 at once, or 503 on PostHog's routes.
  overloaded: () => (Date.now() < end ? 'overloaded' : undefined),
};
const ALL = Object.keys(OUTAGES);
const DOWN = ['locked', 'unavailable'];

/** Apps that send again by themselves try every 5 seconds. */
const APP = { pause: 5000 };
/** An exporter of the app's around that of OpenTelemetry's SDK. */
const RESEND = { resend: { pause: 5000, within: 3 * MINUTE } };

/** The clients, and the settings that they need to outlive a minute. */
const SERVERS = [
  ['analytics-node', {}, ALL],
  ['analytics-python', {}, ALL],
  ['rudder-sdk-node', {}, DOWN],
  // Its defaults suffice. The seed makes its random pauses short, since they may take 17 minutes.
  ['rudder-sdk-python', { seed: 897 }, DOWN],
  ['posthog-node', { fetchRetryCount: 30 }, DOWN],
  ['posthog-python', {}, DOWN],
  ['OpenTelemetry for JavaScript', { ...RESEND, exportTimeoutMillis: 3 * MINUTE, flushWithin: 3 * MINUTE }, DOWN],
  ['OpenTelemetry for Python', RESEND, DOWN],
  ['CloudEvents for JavaScript', APP, DOWN],
  ['CloudEvents for Python', APP, DOWN],
  ['Standard Webhooks for JavaScript', APP, DOWN],
  ['Standard Webhooks for Python', APP, DOWN],
];
const PAGES = [
  ['segment', {}, ALL],
  ['rudderstack', {}, DOWN],
  ['posthog', {}, DOWN],
  ['own', {}, ALL],
];

/** The clients that give up within a minute with their defaults. They tell their app, which is all that is left of the events. */
const GIVE_UP = [
  ['posthog-node', 'unavailable'],
  ['OpenTelemetry for JavaScript', 'unavailable'],
  ['OpenTelemetry for Python', 'unavailable'],
];

/** When the outage ends. */
let end;
/** How many clients have yet to start. The outage begins when all are ready to send. */
let starting = GIVE_UP.length + [...SERVERS, ...PAGES].flatMap(([, , outages]) => outages).length;
let begin;
const begun = new Promise((done) => (begin = done));

async function ready() {
  if (--starting === 0) {
    const file = fileURLToPath(new URL('lock.py', import.meta.url));
    const args = [file, ISOTHERM_DATA, String(MINUTE / 1000)];
    const lock = spawn('python3', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    lock.stdout.once('data', (stores) => {
      end = Date.now() + MINUTE;
      begin(Number(stores));
    });
  }
  assert.ok((await begun) > 0, 'no store was locked, or a client did not start');
}

let pages;
before(async () => {
  pages = await open();
  // A client that can't start must not stop the others for ever.
  setTimeout(() => begin(0), 2 * MINUTE).unref();
});
after(() => pages?.close());

/** Runs a client in an outage, and checks that nothing is taken before its end. Says what the client was answered. */
async function through(t, outage, send) {
  const path = await way(t, OUTAGES[outage]);
  const told = await send(path);
  const began = end - MINUTE;
  const seconds = (time) => Math.round((time - began) / 1000);
  t.diagnostic(`done at ${seconds(Date.now())} s: ${path.answers.map(({ status, at }) => `${status} at ${seconds(at)}`)}`);
  // A page may be viewed before.
  const early = path.answers.filter(({ status, at }) => status === 200 && at > began + 500 && at < end - 500);
  assert.deepEqual(early, []);
  return told;
}

describe('a minute without a store', { concurrency: true }, () => {
  for (const [client, settings, outages] of SERVERS) {
    for (const outage of outages) {
      const name = `${client}, ${outage}`;
      test(name, async (t) => {
        const { failed } = await through(t, outage, ({ url }) => SEND[client](url, name, settings, ready));
        // An exporter that is asked again has failed before.
        if (!settings.resend) assert.deepEqual(failed ?? [], []);
        await arrived(client, name);
      });
    }
  }

  for (const [name, settings, outages] of PAGES) {
    for (const outage of outages) {
      test(`${name} in a page, ${outage}`, async (t) => {
        const type = named(`${name} in a page, ${outage}`);
        await through(t, outage, ({ url }) => pages.visit(name, { url, type, settings, ready }, () => counted(type, 3)));
      });
    }
  }

  for (const [client, outage] of GIVE_UP) {
    const name = `${client} gives up, ${outage}`;
    test(name, async (t) => {
      const { failed } = await through(t, outage, ({ url }) => SEND[client](url, name, {}, ready));
      assert.ok(Date.now() < end && failed.length > 0, `${failed.length} failures`);
      await counted(named(name), 0, 0);
    });
  }
});
