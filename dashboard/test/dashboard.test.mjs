// The page in a real browser, against a server that has the flights of January 2013.
//   ISOTHERM_URL  the server, required        ISOTHERM_KEY  a key that may read, if it needs one
//   CHROMIUM      default /usr/bin/chromium   SCREENSHOTS   a folder for pictures of the states
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { IDLE, JANUARY, picture, refuse, seen, tabTo, until, visit } from './browser.mjs';
import { isOpen, shoot, text } from './chromium.mjs';
import { contrast } from './contrast.mjs';

test('January: the figures, their exactness, and nothing from elsewhere', async () => {
  await visit(`${JANUARY}&dimension=dest`, {}, async (page, { response }) => {
    const policy = response.headers()['content-security-policy'];
    assert.match(policy, /^default-src 'none'; script-src 'sha256-\S+'; style-src 'sha256-/);
    assert.equal(await text(page, '[data-metric=count]'), '27,004');
    const users = Number((await text(page, '[data-metric=users]')).replace(',', ''));
    assert.ok(Math.abs(users / 3149 - 1) < 0.05, `${users} users`);
    const tiles = await text(page, '.tiles');
    assert.match(tiles, /27,004\s+exact/);
    assert.match(tiles, /Wed, Jan 2, 2013, 11:00\s+80/);
    assert.match(await text(page, '#summary .note'), /Jan 1, 2013, 00:00 – Feb 2, 2013, 00:00, UTC.*As of /);
    assert.match(await text(page, '#top tbody tr'), /^ATL\s+1,396\s/);
    assert.match(await text(page, '#top tbody tr:nth-child(10)'), /^DCA\s+865\s/);
    assert.equal(await text(page, '#series h2'), 'Events by day');
    await page.click('details summary');
    await page.waitForSelector('details tbody tr');
    const days = await page.$$eval('details tbody tr', (rows) => rows.map((row) => row.innerText));
    assert.equal(days.length, 32);
    assert.match(days[1], /^Wed, Jan 2, 2013\s+930$/);
    assert.ok((await contrast(page)) >= 4.5, 'text is readable');
    await shoot(page, 'data-light-1280');
  });
});

test('the policy is in force', async () => {
  await visit(JANUARY, {}, async (page, { problems }) => {
    assert.equal(await isOpen(page), false);
    await page.waitForFunction(() => true);
    const refused = problems.filter((problem) => problem.startsWith('CSP:')).map((problem) => problem.split(' ')[1]);
    assert.deepEqual(refused.sort(), ['connect-src', 'script-src-elem']);
    problems.length = 0;
  });
});

test('a link reproduces the view: zone, groups, metric, event type', async () => {
  const link =
    'from=2013-01-01&to=2013-02-01&tz=America/New_York&interval=week&metric=p95:depDelay&groupBy=carrier&eventType=flight_departed';
  await visit(link, {}, async (page) => {
    assert.equal(await text(page, '[data-metric=count]'), '26,483');
    assert.equal(await text(page, '#series h2'), '95th percentile of depDelay by week');
    assert.match(await text(page, '.tiles'), /Wed, Jan 2, 2013, 06:00\s+80/, 'hours are those of New York');
    assert.match(await text(page, '#series .note'), /The 8 of 16 values with most events are shown/);
    assert.match(await text(page, '.readout'), /UA\s+B6\s+EV\s+DL/);
    const p95 = Number(await text(page, '[data-metric="p95:depDelay"]'));
    assert.ok(Math.abs(p95 / 76 - 1) < 0.03, `p95 is ${p95}`);
    const controls = await page.evaluate(() =>
      Object.fromEntries([...document.querySelectorAll('#query [id]')].map((c) => [c.id, c.value])),
    );
    assert.equal(controls.from, '2013-01-01T00:00');
    assert.deepEqual(
      [controls.interval, controls.metric, controls.property, controls.groupBy, controls.eventType, controls.tz],
      ['week', 'p95', 'depDelay', 'carrier', 'flight_departed', 'America/New_York'],
    );
    await shoot(page, 'groups-light-1280');
  });
});

test('a time zone that the server does not know: UTC, and the page says so', async () => {
  // What a browser in such a zone starts with, and a link that names one. The refused request is what the browser complains of.
  const refused = /^console: Failed to load resource/;
  for (const zone of ['Etc/Unknown', 'Mars/Olympus']) {
    const link = `from=2013-01-01&to=2013-02-01&tz=${zone}`;
    await visit(link, { wait: null }, async (page, { problems }) => {
      await until(page, '#zone', `does not know the time zone ${zone}: all times are in UTC.`);
      await page.waitForSelector(IDLE);
      assert.equal(await text(page, '[data-metric=count]'), '26,865');
      assert.match(await text(page, '#summary .note'), /Jan 1, 2013, 00:00 – Feb 1, 2013, 00:00, UTC/);
      assert.equal(await seen(page, '#problem'), false);
      assert.match(page.url(), /tz=UTC/);
      assert.equal(await page.$eval('#tz', (tz) => tz.value), 'UTC');
      await page.select('#tz', 'Europe/Berlin');
      await page.waitForFunction(() => document.querySelector('#zone').hidden);
      await page.waitForSelector(IDLE);
      assert.ok(problems.every((problem) => refused.test(problem)), `${problems}`);
      problems.length = 0;
    });
  }
  // The zone that the browser itself tells.
  const inZone = (page) => page.evaluateOnNewDocument(() => {
    const told = Intl.DateTimeFormat.prototype.resolvedOptions;
    Intl.DateTimeFormat.prototype.resolvedOptions = function () {
      return { ...told.call(this), timeZone: 'Etc/Unknown' };
    };
  });
  await visit('range=24h', { wait: null, prepare: inZone }, async (page, { problems }) => {
    await until(page, '#zone', 'Etc/Unknown');
    await page.waitForSelector(IDLE);
    assert.match(await text(page, '#summary .note'), /UTC/);
    assert.ok(problems.every((problem) => refused.test(problem)), `${problems}`);
    problems.length = 0;
  });
});

test('by keyboard alone: range, interval, metric, and the values of the chart', async () => {
  await visit(JANUARY, {}, async (page) => {
    const first = await picture(page);
    await tabTo(page, '#interval');
    await page.keyboard.type('Hour');
    await until(page, '#series h2', 'Events by hour');
    await page.waitForSelector(IDLE);
    const second = await picture(page);
    assert.notEqual(second, first, 'the chart is another');
    await tabTo(page, '#metric');
    await page.keyboard.type('Users');
    await until(page, '#series h2', 'Users by hour');
    await page.waitForSelector(IDLE);
    assert.notEqual(await picture(page), second, 'the chart is another again');
    assert.match(page.url(), /interval=hour.*metric=users/);
    await tabTo(page, '.plot');
    for (const key of ['Home', ...Array(11).fill('ArrowRight')]) await page.keyboard.press(key);
    assert.match(await text(page, '.when'), /^Tue, Jan 1, 2013, 11:00$/);
    const spoken = await page.$eval('.plot', (plot) => plot.ariaValueText);
    assert.match(spoken, /^Tue, Jan 1, 2013, 11:00: Users \d+$/);
    await page.keyboard.down('Shift');
    await tabTo(page, '[name=range]');
    await page.keyboard.up('Shift');
    await page.keyboard.press('ArrowLeft');
    // The URL is another before the page begins to load.
    await until(page, '#summary .note', 'There are no events');
    assert.match(page.url(), /range=30d/);
  });
});

test('503: the message and Retry; no connection', async () => {
  let broken = true;
  const answer = (request) =>
    broken && refuse(request, 503, 'the store did not answer in time', { 'retry-after': '1' });
  await visit(JANUARY, { answer }, async (page) => {
    assert.match(await text(page, '#problem[role=alert]'), /not ready\s+the store did not answer in time\s+Retry/i);
    assert.equal(await text(page, '[data-metric=count]'), '–');
    await shoot(page, 'error-light-1280');
    broken = false;
    await page.click('#problem button');
    await until(page, '[data-metric=count]', '27,004');
    await page.waitForSelector(IDLE);
    assert.equal(await seen(page, '#problem'), false);
  });
  await visit(JANUARY, { answer: (request) => request.abort() || true }, async (page) => {
    assert.match(await text(page, '#problem'), /cannot be reached/);
  });
});

test('401 asks for the key, sends it as Bearer, and keeps it for the session only; 403 and 422 are told', async () => {
  const sent = [];
  const answer = (request) => {
    sent.push(request.headers().authorization);
    const realm = { 'www-authenticate': 'Bearer realm="isotherm", Basic realm="isotherm"' };
    if (sent.at(-1) !== 'Bearer let-me-in') return refuse(request, 401, 'a configured key is required', realm);
    return refuse(request, 403, 'this key has no read scope');
  };
  await visit(JANUARY, { answer, key: '' }, async (page) => {
    assert.match(await text(page, '#problem'), /a configured key is required/i);
    assert.ok(sent.every((header) => header === undefined));
    await shoot(page, 'key-light-1280');
    await page.type('#secret:focus', 'let-me-in');
    await page.keyboard.press('Enter');
    await until(page, '#problem', 'no read scope');
    const kept = await page.evaluate(() => [
      sessionStorage['isotherm.key'],
      localStorage.length,
      document.cookie,
      location.href,
    ]);
    assert.deepEqual(kept.slice(0, 3), ['let-me-in', 0, '']);
    assert.ok(!kept[3].includes('let-me-in'));
    await page.click('#forget');
    await until(page, '#problem', 'configured key');
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  });
  await visit(JANUARY, { answer: (request) => refuse(request, 422, 'tz is not a zone') }, async (page) => {
    assert.match(await text(page, '#problem'), /cannot answer this\s+tz is not a zone/i);
  });
});

test('no events, and events on their way', async () => {
  await visit('from=2014-03-01&to=2014-03-08&tz=UTC', {}, async (page) => {
    assert.equal(await text(page, '[data-metric=count]'), '0');
    assert.match(await text(page, '#series .empty'), /No events in this range/);
    assert.equal(await seen(page, '.plot'), false);
    await shoot(page, 'empty-light-1280');
  });
  await visit(JANUARY, { answer: () => true, wait: 'main[aria-busy=true]' }, async (page) => {
    await until(page, '#summary .note', 'Loading…');
    assert.match(await text(page, '#series'), /Loading…/);
    await shoot(page, 'loading-light-1280');
  });
  await visit(
    JANUARY,
    { answer: (request) => request.url().includes('timeseries'), wait: 'main[aria-busy=true]' },
    async (page) => {
      await until(page, '[data-metric=count]', '27,004');
      await until(page, '#top tbody', 'UA');
      await new Promise((resolve) => setTimeout(resolve, 500));
      assert.match(await text(page, '#summary .note'), /As of/, 'what is there is not waited for');
      assert.match(await text(page, '#series'), /Loading…/);
    },
  );
});

test('dark, and 360 pixels wide: readable, and nothing to scroll sideways', async () => {
  const link = `${JANUARY}&groupBy=carrier&metric=p95:depDelay`;
  await visit(link, { scheme: 'dark' }, async (page) => {
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.ok(
      ground.match(/\d+/g).every((part) => Number(part) < 60),
      `${ground} is dark`,
    );
    assert.ok((await contrast(page)) >= 4.5, 'text is readable');
    await shoot(page, 'data-dark-1280');
  });
  for (const scheme of ['light', 'dark']) {
    await visit(link, { width: 360, scheme }, async (page) => {
      await page.click('details summary');
      await page.waitForSelector('details tbody tr');
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
      await shoot(page, `data-${scheme}-360`);
    });
  }
});

test('names are text, whatever they hold, and long ones do not widen the page', async () => {
  const name = `<img src=x onerror=alert(1)>${'long'.repeat(40)}`;
  const answer = (request) => {
    const [, report] = request.url().match(/reports\/(\w+)/);
    const metrics = { count: 7, users: 3, [`sum:${name}`]: 12.5 };
    const rows = [{ time: '2013-01-01T00:00:00Z', group: name, value: name, ...metrics }];
    const accuracy = { count: 'exact', users: { relative: 0.02, confidence: 0.95 }, [`sum:${name}`]: 'incomplete' };
    const found = { busiestHours: [], eventTypes: [name], dimensions: [name], numbers: [name] };
    const span = { from: '2013-01-01T00:00:00Z', to: '2013-01-02T00:00:00Z', asOf: '2013-01-02T00:00:00Z', tz: 'UTC' };
    const body = JSON.stringify({ rows, ...found, ...span, interval: 'day', accuracy, next: null, report });
    request.respond({ contentType: 'application/json', body });
    return true;
  };
  const link = new URLSearchParams({
    metric: `sum:${name}`,
    groupBy: name,
    eventType: name,
    dimension: name,
    tz: 'UTC',
  });
  await visit(link, { answer, width: 360 }, async (page) => {
    assert.ok((await text(page, '#top tbody tr')).startsWith(name));
    assert.match(await text(page, '.tiles'), /12.5\s+incomplete/);
    assert.equal(await page.evaluate(() => document.images.length), 0);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    await shoot(page, 'names-light-360');
  });
});

test('it refreshes itself every ten seconds, when asked to', async () => {
  await visit(JANUARY, {}, async (page) => {
    const asked = [];
    page.on('request', (request) => request.url().includes('/reports/summary') && asked.push(Date.now()));
    await Promise.all([
      page.waitForRequest((request) => request.url().includes('/reports/summary')),
      page.click('#live'),
    ]);
    await page.waitForSelector(IDLE);
    const answered = Date.now();
    assert.equal(asked.length, 1);
    await page.waitForRequest((request) => request.url().includes('/reports/summary'));
    const paused = asked[1] - answered;
    assert.ok(paused > 9_000 && paused < 14_000, `after ${paused} ms`);
  });
});
