// Pages in Chromium send their events to a host, with the defaults of their SDKs, on a way that fails.
//   SCREENSHOTS  a folder for pictures
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { RUN, counted, kept, until, way } from './host.mjs';
import { ORIGIN, PATIENCE, open } from './pages.mjs';

const { ISOTHERM_URL, ISOTHERM_READER, SCREENSHOTS } = process.env;

let pages;
before(async () => {
  pages = await open();
});
after(() => pages?.close());

describe('pages', { concurrency: true }, () => {
  // Segment's and RudderStack's send each event by itself, so no batch of theirs is kept in part.
  const single = ['overloaded', 'unavailable', 'lost'];
  for (const [name, faults] of [
    ['segment', single],
    ['rudderstack', single],
    ['posthog', ['overloaded', 'partly', 'lost']],
    ['own', ['overloaded', 'partly', 'lost', 'reset']],
  ]) {
    test(`${name} delivers, on a way that fails`, async (t) => {
      const path = await way(t, faults);
      const type = `${name} in a page ${RUN}`;
      await pages.visit(name, { url: path.url, type }, async () => {
        await counted(type, 3);
        await path.all();
      });
      const statuses = path.answers.map(({ status }) => status);
      // An event that is refused for good is not sent again: by itself it is answered 400, and in a batch 200.
      assert.equal(statuses.filter((status) => status === 400).length, faults === single ? 1 : 0);
      if (name === 'own') assert.deepEqual(statuses, [429, 503, 0, 0, 200]);
    });
  }

  test('rudderstack delivers by beacons', async (t) => {
    const path = await way(t);
    const type = `rudderstack by beacons ${RUN}`;
    const settings = { useBeacon: true, beaconQueueOptions: { flushQueueInterval: 500 } };
    const urls = [];
    const prepare = (page) => void page.on('request', (request) => urls.push(request.url()));
    await pages.visit('rudderstack', { url: path.url, type, settings, prepare }, () => counted(type, 3));
    assert.ok(urls.some((url) => url.includes('/beacon/v1/batch?writeKey=')), urls.join('\n'));
  });

  test('what waits when a page goes is sent all the same', async (t) => {
    const path = await way(t);
    const type = `gone ${RUN}`;
    await pages.visit('own', { url: path.url, type }, async (page) => {
      await page.waitForFunction(() => !window.isotherm.q);
      await page.goto(`${ORIGIN}/away`);
      await counted(type, 3);
    });
  });

  for (const [signal, value] of [
    ['globalPrivacyControl', true],
    ['doNotTrack', '1'],
  ]) {
    test(`a browser that says no is heard: ${signal}`, async (t) => {
      const path = await way(t);
      const prepare = (page) =>
        page.evaluateOnNewDocument(
          (signal, value) => Object.defineProperty(navigator, signal, { value }),
          signal,
          value,
        );
      await pages.visit('own', { url: path.url, type: `refused ${RUN}`, prepare }, async (page, sent) => {
        await page.waitForFunction(() => !window.isotherm.q);
        assert.equal(await page.evaluate(() => Object.keys(sessionStorage).length), 0);
        await page.goto(`${ORIGIN}/away`);
        assert.deepEqual(sent, []);
      });
      assert.deepEqual(path.answers, []);
    });
  }

  for (const [screen, width] of [
    ['small', 500],
    ['medium', 900],
    ['large', 1300],
  ]) {
    test(`one line sends a view, of a ${screen} screen, and sets no cookie`, async (t) => {
      const path = await way(t);
      const visit = {
        url: path.url,
        query: { utm_source: 'news', utm_campaign: `spring ${RUN}`, secret: 'x' },
        from: 'http://blog.example/post?about=us',
        prepare: (page) => page.setViewport({ width, height: 800 }),
      };
      await pages.visit('line', visit, async (page, sent, profile) => {
        await page.waitForFunction(() => window.isotherm);
        await page.evaluate(() => {
          history.pushState({}, '', '/next');
          history.replaceState({}, '', '/third');
          window.isotherm('signup', { plan: 'pro' });
        });
        const messages = () => sent.flatMap((body) => JSON.parse(body).batch);
        while (messages().length < 4) await sleep(50);
        const events = await Promise.all(messages().map(({ messageId }) => kept(messageId)));
        const campaign = { utm_source: 'news', utm_campaign: `spring ${RUN}` };
        assert.deepEqual(
          events.map(({ eventType, properties }) => [eventType, properties]),
          [
            ['page', { path: '/line', screen, referrer: 'blog.example', ...campaign }],
            ['page', { path: '/next', screen }],
            ['page', { path: '/third', screen }],
            ['signup', { plan: 'pro' }],
          ],
        );
        assert.equal(new Set(events.map(({ userId }) => userId)).size, 1);
        assert.deepEqual([await profile.cookies(), await page.evaluate(() => document.cookie)], [[], '']);
        assert.equal(await page.evaluate(() => Object.keys(localStorage).length), 0);
        if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, `page-${screen}.png`) });
      });
    });
  }
});

test('the dashboard shows the visits', async () => {
  const { rows } = await until('/reports/top?dimension=path&eventType=page&metrics=count,users', ({ rows }) =>
    ['/own', '/line'].every((path) => rows.some(({ value }) => value === path)),
  );
  assert.ok(rows.find(({ value }) => value === '/own').count >= 2, JSON.stringify(rows));
  const page = await pages.browser.newPage();
  await page.setViewport({ width: 1280, height: 900 });
  await page.evaluateOnNewDocument((key) => sessionStorage.setItem('isotherm.key', key), ISOTHERM_READER);
  await page.goto(`${ISOTHERM_URL}/dashboard#dimension=path&eventType=page`);
  await page.waitForFunction(() => document.querySelector('#top tbody')?.innerText.includes('/line'), {
    timeout: PATIENCE,
  });
  if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, 'visits.png'), fullPage: true });
});
