// Pages that send events: with our script, and with the SDKs for browsers, as their registries have them.
//   PAGES_PORT  where the pages are, whose origin the public key names
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

import { published } from './host.mjs';

const { PAGES_PORT, SDKS } = process.env;
export const ORIGIN = `http://127.0.0.1:${PAGES_PORT}`;
const tool = createRequire(new URL('../../dashboard/package.json', import.meta.url));
export const { launch, PATIENCE } = await import('../../dashboard/chromium.mjs');

/**
 * Each sends three events, and one between them that no host takes, once it may. `settings` is all that differs from its
 * defaults.
 */
const EVENTS = `const tooLong = 'x'.repeat(201);
  const events = [[type, { index: 0 }], [tooLong], [type, { index: 1 }], [type, { index: 2 }]];
  const send = (track) => {
    const all = () => events.forEach((event) => track(...event));
    window.ready ? window.ready().then(all) : all();
  };`;
const SCRIPTS = {
  segment: `import { AnalyticsBrowser } from '@segment/analytics-next';
    const { writeKey, url, type, settings } = window.given;
    ${EVENTS}
    const segment = { apiHost: new URL(url).host + '/v1', protocol: 'http', ...settings };
    const analytics = AnalyticsBrowser.load({ writeKey, cdnURL: url }, { integrations: { 'Segment.io': segment } });
    analytics.on('error', ({ code, ctx }) => (window.failed ??= []).push([code, ctx.event.event]));
    analytics.page('Home');
    send((...event) => analytics.track(...event));`,
  rudderstack: `import { RudderAnalytics } from '@rudderstack/analytics-js/bundled';
    const { writeKey, url, type, settings } = window.given;
    ${EVENTS}
    const analytics = new RudderAnalytics();
    analytics.load(writeKey, url, { configUrl: url, logLevel: 'NONE', ...settings });
    send((...event) => analytics.track(...event));`,
  posthog: `import posthog from 'posthog-js';
    const { writeKey, url, type, settings } = window.given;
    ${EVENTS}
    // Without the option, it drops the events of a browser that a test drives.
    posthog.init(writeKey, { api_host: url, ui_host: url, opt_out_useragent_filter: true, ...settings });
    send((...event) => posthog.capture(...event));`,
};

/** Pages without an SDK, by what they have in place of one. */
const OWN = {
  // The one line that the docs tell.
  line: '',
  // With the line that keeps the calls that come before the script.
  own: `isotherm = function () { (isotherm.q ??= []).push(arguments) };
    const { type } = given;
    ${EVENTS}
    send((...event) => isotherm(...event));`,
};
const line = ({ url, writeKey }) => `<script async src="${url}/i.js" data-key="${writeKey}"></script>`;

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

/** Serves the pages, and starts a browser. */
export async function open() {
  const bundles = new Map();
  for (const [name, source] of Object.entries(SCRIPTS)) bundles.set(name, await bundle(source));
  const server = createServer(({ url }, answer) => {
    const name = url.split(/[/?.]/)[1];
    if (url.endsWith('.js')) return void answer.setHeader('content-type', 'text/javascript').end(bundles.get(name));
    answer.setHeader('content-type', 'text/html');
    const { given } = Object.fromEntries(new URL(url, ORIGIN).searchParams);
    if (name in OWN) {
      const before = OWN[name] && `<script>given = ${given}; ${OWN[name]}</script>`;
      return void answer.end(`<!doctype html><title>A shop</title>${before}${line(JSON.parse(given))}`);
    }
    if (!bundles.has(name)) return void answer.end('<!doctype html><p>elsewhere');
    answer.end(`<!doctype html><title>A shop</title><script>given = ${given}</script><script src="/${name}.js"></script>`);
  });
  await new Promise((done) => server.listen(Number(PAGES_PORT), '127.0.0.1', done));
  const browser = await launch();

  /**
   * Opens a page that sends events of this type to this URL, hands it to `body` with the bodies that it has sent, and fails
   * if it asked others for anything. The page asks `ready`, if it is there, when it is about to send.
   */
  async function visit(name, { url, type, settings = {}, query = {}, from, prepare, ready }, body) {
    const profile = await browser.createBrowserContext();
    const page = await profile.newPage();
    page.setDefaultTimeout(PATIENCE);
    const others = [];
    const sent = [];
    page.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      if (origin === new URL(url).origin && request.method() === 'POST') sent.push(request.postData());
      if (![ORIGIN, url].includes(origin) && !['data:', 'blob:'].includes(protocol)) others.push(request.url());
    });
    if (ready) await page.exposeFunction('ready', ready);
    await prepare?.(page);
    const given = JSON.stringify({ writeKey: published, url, type, settings });
    const target = `${ORIGIN}/${name}?${new URLSearchParams({ given, ...query })}`;
    await page.goto(target, { referer: from });
    await body(page, sent, profile);
    await profile.close();
    assert.deepEqual(others, []);
  }

  const close = async () => {
    await browser.close();
    server.closeAllConnections();
    server.close();
  };
  return { browser, visit, close };
}
