// Pages in Chromium that send events to a host: with our script, and with the SDKs for browsers, as their registries have them.
//   PAGES_PORT  where the pages are, whose origin the public key names    SCREENSHOTS  a folder for pictures
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { RUN, counted, published, until, way } from './host.mjs';

const { ISOTHERM_URL, ISOTHERM_READER, PAGES_PORT, SCREENSHOTS, SDKS } = process.env;
const ORIGIN = `http://127.0.0.1:${PAGES_PORT}`;
const tool = createRequire(new URL('../../dashboard/package.json', import.meta.url));
const { launch, PATIENCE } = await import('../../dashboard/chromium.mjs');

const SCRIPTS = {
  segment: `import { AnalyticsBrowser } from '@segment/analytics-next';
    const { writeKey, url, type } = window.given;
    const settings = { apiHost: new URL(url).host + '/v1', protocol: 'http' };
    const analytics = AnalyticsBrowser.load({ writeKey, cdnURL: url }, { integrations: { 'Segment.io': settings } });
    analytics.page('Home');
    for (const index of [0, 1, 2]) analytics.track(type, { index });`,
  rudderstack: `import { RudderAnalytics } from '@rudderstack/analytics-js/bundled';
    const { writeKey, url, type } = window.given;
    const analytics = new RudderAnalytics();
    analytics.load(writeKey, url, { configUrl: url, logLevel: 'NONE' });
    for (const index of [0, 1, 2]) analytics.track(type, { index });`,
  posthog: `import posthog from 'posthog-js';
    const { writeKey, url, type } = window.given;
    // Without the option, it drops the events of a browser that a test drives.
    posthog.init(writeKey, { api_host: url, ui_host: url, opt_out_useragent_filter: true });
    for (const index of [0, 1, 2]) posthog.capture(type, { index });`,
};

async function bundle(source) {
  const { outputFiles } = await tool('esbuild').build({
    stdin: { contents: source, resolveDir: SDKS },
    bundle: true,
    write: false,
    format: 'iife',
    logLevel: 'error',
  });
  return outputFiles[0].text;
}

let browser;
let server;
before(async () => {
  const bundles = new Map();
  server = createServer(async ({ url }, answer) => {
    const name = url.split(/[/?.]/)[1];
    if (url.endsWith('.js')) {
      if (!bundles.has(name)) bundles.set(name, bundle(SCRIPTS[name]));
      return void answer.setHeader('content-type', 'text/javascript').end(await bundles.get(name));
    }
    answer.setHeader('content-type', 'text/html');
    if (name === 'away') return void answer.end('<p>elsewhere');
    const given = JSON.stringify(Object.fromEntries(new URL(url, ORIGIN).searchParams));
    const own = `<script>isotherm = function () { (isotherm.q ??= []).push(arguments) };
        for (const index of [0, 1, 2]) isotherm(given.type, { index });</script>
      <script async src="${JSON.parse(given).url}/i.js" data-key="${JSON.parse(given).writeKey}"></script>`;
    const script = name === 'own' ? own : `<script src="/${name}.js"></script>`;
    answer.end(`<!doctype html><title>A shop</title><script>given = ${given}</script>${script}`);
  });
  await new Promise((done) => server.listen(Number(PAGES_PORT), '127.0.0.1', done));
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
});

/** Opens a page that sends to this URL, hands it to `body`, and fails if anything was asked of others. */
async function visit(name, url, type, body, prepare) {
  const profile = await browser.createBrowserContext();
  const page = await profile.newPage();
  page.setDefaultTimeout(PATIENCE);
  const others = [];
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (![ORIGIN, url].includes(origin) && !['data:', 'blob:'].includes(protocol)) others.push(request.url());
  });
  await prepare?.(page);
  await page.goto(`${ORIGIN}/${name}?${new URLSearchParams({ writeKey: published, url, type, utm_source: 'news' })}`);
  await body(page);
  await profile.close();
  assert.deepEqual(others, []);
}

describe('pages', () => {
  for (const [name, faults] of [
    ['segment', ['unavailable', 'lost', 'overloaded']],
    ['rudderstack', ['unavailable', 'lost']],
    ['posthog', ['unavailable']],
    ['own', ['unavailable', 'lost', 'overloaded', 'reset']],
  ]) {
    test(`${name} delivers, on a way that fails`, async (t) => {
      const path = await way(t, faults);
      const type = `${name} in a page ${RUN}`;
      await visit(name, path.url, type, async () => {
        await path.all();
        await counted(type, 3);
      });
    });
  }

  test('what waits when a page goes is sent all the same', async (t) => {
    const path = await way(t);
    const type = `gone ${RUN}`;
    await visit('own', path.url, type, async (page) => {
      await page.waitForFunction(() => !window.isotherm.q);
      await page.goto(`${ORIGIN}/away`);
      await counted(type, 3);
    });
    await path.all();
  });

  test('a browser that says no is heard', async (t) => {
    const path = await way(t);
    const type = `refused ${RUN}`;
    const refuse = (page) =>
      page.evaluateOnNewDocument(() => Object.defineProperty(navigator, 'globalPrivacyControl', { value: true }));
    const asked = [];
    const listen = async (page) => {
      await refuse(page);
      page.on('request', (request) => request.method() === 'POST' && asked.push(request.url()));
    };
    await visit(
      'own',
      path.url,
      type,
      async (page) => {
        await page.waitForFunction(() => !window.isotherm.q);
        await page.goto(`${ORIGIN}/away`);
      },
      listen,
    );
    assert.deepEqual(asked, []);
    await path.all();
  });

  test('the dashboard shows the visits', async () => {
    const { rows } = await until('/reports/top?dimension=path&eventType=page&metrics=count,users', ({ rows }) =>
      rows.some(({ value }) => value === '/own'),
    );
    assert.ok(rows.find(({ value }) => value === '/own').count >= 2, JSON.stringify(rows));
    const page = await browser.newPage();
    await page.setViewport({ width: 1280, height: 900 });
    await page.evaluateOnNewDocument((key) => sessionStorage.setItem('isotherm.key', key), ISOTHERM_READER);
    await page.goto(`${ISOTHERM_URL}/dashboard#dimension=path&eventType=page`);
    await page.waitForFunction(() => document.querySelector('#top tbody')?.innerText.includes('/own'), {
      timeout: PATIENCE,
    });
    if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, 'visits.png'), fullPage: true });
  });
});
