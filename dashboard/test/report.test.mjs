// The report page in a real browser, opened from the disk.
//   REPORT        a page of all four platforms without prices      PRICED    one with prices and a simulation; both required
//   CHROMIUM      default /usr/bin/chromium                         SCREENSHOTS   a folder for pictures
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { PATIENCE, browser, isOpen, shoot, text } from './chromium.mjs';
import { contrast } from './contrast.mjs';

const { REPORT, PRICED } = process.env;
assert.ok(REPORT && PRICED, 'REPORT and PRICED must name pages of `isotherm report`');

/** Opens a page, hands it to `body`, and afterwards fails on any complaint of the browser and any request but that for the file. */
async function visit(file, { width = 1400, scheme = 'light', media = 'screen', script = true } = {}, body) {
  const page = await browser.newPage();
  const problems = [];
  page.setDefaultTimeout(PATIENCE);
  await page.setViewport({ width, height: width < 500 ? 740 : 900 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.emulateMediaType(media);
  await page.setJavaScriptEnabled(script);
  page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
  page.on('console', (message) => problems.push(`console: ${message.text()}`));
  const url = pathToFileURL(file).href;
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const expected = request.url() === url || request.url().startsWith('data:') || request.url().startsWith('blob:');
    if (!expected) problems.push(`request to ${request.url()}`);
    request.continue();
  });
  await page.goto(url);
  if (script) await page.waitForSelector('.drawn .plot canvas');
  await body(page, problems);
  assert.deepEqual(problems, []);
  await page.close();
}

const TEXT = 'h1,h2,h3,p,a,dt,dd,caption,.note,.chip,li,li *,td,td *,th,summary,.key *';
const CHARTS = { ecdf: 2, percentiles: 1, bars: 3 };
const PRICED_CHARTS = { ...CHARTS, stack: 1, volume: 1, shares: 1 };

/** Each chart's kind, whether it is named, and how many colours it is drawn with beside its ground. */
const charts = (page) =>
  page.$$eval('.plot', (plots) =>
    plots.map((plot) => {
      const canvas = plot.querySelector('canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Map();
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] < 255) continue;
        const colour = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
        seen.set(colour, (seen.get(colour) ?? 0) + 1);
      }
      const rgb = (name) => {
        const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
        return parseInt(hex.slice(1), 16);
      };
      const drawn = [0, 1, 2, 3].filter((place) => (seen.get(rgb(`--c${place}`)) ?? 0) > 20).length;
      return { kind: plot.dataset.chart, label: plot.ariaLabel, drawn };
    }),
  );

async function checkCharts(page, expected) {
  const found = await charts(page);
  const kinds = {};
  for (const { kind, label, drawn } of found) {
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    assert.match(label, /^Chart, .{10}.*\d/, kind);
    assert.ok(
      drawn >= (kind === 'stack' || kind === 'volume' ? 2 : kind === 'shares' ? 1 : 4),
      `${kind} has ${drawn} series`,
    );
  }
  assert.deepEqual(kinds, expected);
}

test('a page: verdict first, tables, every chart, nothing from elsewhere, at most a megabyte', async () => {
  assert.ok(statSync(REPORT).size <= 1_000_000);
  await visit(REPORT, {}, async (page) => {
    assert.equal(await page.$eval('main > section', (first) => first.id), 'verdict');
    const verdict = await text(page, '#verdict');
    for (const question of ['Cold start, until ready', 'Warm latency', 'Throughput', 'CPU time', 'No winner: scopes differ', 'What this run can’t tell']) {
      assert.ok(verdict.includes(question), question);
    }
    assert.doesNotMatch(verdict, /cheapest|Fastest/i);
    await checkCharts(page, CHARTS);
    const rows = await page.$$eval('table', (tables) =>
      tables.map((table) => [table.caption.textContent, table.rows.length]),
    );
    assert.ok(rows.length >= 9 && rows.every(([caption, count]) => caption && count >= 5), JSON.stringify(rows));
    assert.match(await text(page, '#guarantees'), /a 202 follows/i);
    assert.equal(await page.$$eval('#cost, #volume, #cold-share, #baseline', (found) => found.length), 0);
    assert.ok((await contrast(page, TEXT)) >= 4.5, 'text is readable');
    await shoot(page, 'report-light-1400');
  });
});

test('prices and a simulation have charts and tables of their own, and words for where figures are from', async () => {
  await visit(PRICED, {}, async (page) => {
    await checkCharts(page, PRICED_CHARTS);
    assert.match(await text(page, '#verdict'), /Cost modelled/i);
    assert.match(await text(page, '#verdict'), /is cheapest below .* events a month/);
    assert.match(await text(page, '#cost table'), /store/);
    assert.match(await text(page, '#cold-share'), /published/);
    const beside = await page.$$eval('#baseline tbody tr', (rows) => rows.map((row) => row.cells[0].innerText));
    assert.deepEqual(beside, ['baseline', 'Lambda, single events']);
    assert.match(await text(page, '#baseline'), /It knows no repetition/);
    const colours = await page.$$eval('.chip', (chips) =>
      Object.fromEntries(chips.map((chip) => [chip.innerText, getComputedStyle(chip).color])),
    );
    assert.equal(new Set(Object.values(colours)).size, 3, JSON.stringify(colours));
    await shoot(page, 'report-priced-1400');
  });
});

test('on a desk no table is wider than the page', async () => {
  await visit(PRICED, { width: 1280 }, async (page) => {
    const wide = await page.$$eval('table', (tables) =>
      tables
        .filter((table) => table.getBoundingClientRect().right > table.parentElement.getBoundingClientRect().right + 1)
        .map((table) => table.caption.textContent),
    );
    assert.deepEqual(wide, []);
  });
});

test('the policy is in force', async () => {
  await visit(REPORT, {}, async (page, problems) => {
    assert.equal(await isOpen(page), false);
    assert.ok(
      problems.length >= 2 && problems.every((problem) => problem.includes('Content Security Policy')),
      problems,
    );
    problems.length = 0;
  });
});

test('by keyboard: everything that takes the focus shows it, and a chart is read by arrow keys', async () => {
  await visit(REPORT, {}, async (page) => {
    const seen = [];
    for (let count = 0; count < 80; count++) {
      await page.keyboard.press('Tab');
      const on = await page.evaluate(() => {
        const own = document.activeElement;
        if (own === document.body) return null;
        return {
          what: own.className || own.id || own.textContent,
          marked: getComputedStyle(own).outlineStyle !== 'none',
        };
      });
      if (!on) break;
      assert.ok(on.marked, `${on.what} shows that it has the focus`);
      seen.push(on.what);
    }
    assert.ok(seen.includes('skip') && seen.includes('download') && seen.includes('plot ecdf'), seen.join());
    await page.focus('.plot.percentiles');
    await page.keyboard.press('End');
    assert.match(await text(page, '.plot.percentiles + .key'), /Lambda\s*[\d.]+ m?s.*p99/s);
    await page.keyboard.press('ArrowLeft');
    assert.match(await text(page, '.plot.percentiles + .key'), /p98/);
    await page.evaluate(() => document.activeElement.blur());
    assert.doesNotMatch(await text(page, '.plot.percentiles + .key'), /p9/);
  });
});

test('the result can be downloaded from the page', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'report-'));
  await visit(REPORT, {}, async (page) => {
    const session = await page.createCDPSession();
    await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder, eventsEnabled: true });
    const done = new Promise((resolve) =>
      session.on('Browser.downloadProgress', ({ state }) => state !== 'inProgress' && resolve(state)),
    );
    await page.click('#download');
    assert.equal(await done, 'completed');
    const result = JSON.parse(readFileSync(join(folder, 'result.json'), 'utf8'));
    assert.equal(result.schema, 'isotherm.compare/2');
    assert.equal(result.platforms.length, 4);
  });
  rmSync(folder, { recursive: true });
});

test('dark, and 360 pixels wide: readable, drawn, and nothing to scroll sideways', async () => {
  for (const [file, expected] of [
    [REPORT, CHARTS],
    [PRICED, PRICED_CHARTS],
  ]) {
    for (const [width, scheme] of [
      [1400, 'dark'],
      [360, 'light'],
      [360, 'dark'],
    ]) {
      await visit(file, { width, scheme }, async (page) => {
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
        await checkCharts(page, expected);
        assert.ok((await contrast(page, TEXT)) >= 4.5, 'text is readable');
        await shoot(page, `report-${file === REPORT ? '' : 'priced-'}${scheme}-${width}`);
      });
    }
  }
});

test('on paper it is light, and charts have the colours of paper', async () => {
  await visit(PRICED, { width: 794, scheme: 'dark', media: 'print' }, async (page) => {
    const ground = await page.evaluate(() => getComputedStyle(document.querySelector('section')).backgroundColor);
    assert.equal(ground, 'rgb(255, 255, 255)');
    await checkCharts(page, PRICED_CHARTS);
    assert.ok((await contrast(page, TEXT)) >= 4.5, 'text is readable');
    await shoot(page, 'report-print');
    const pdf = await page.pdf({ format: 'A4', printBackground: true });
    assert.ok(pdf.length > 50_000, `${pdf.length} bytes`);
  });
});

test('without script the text and the tables are there, and no empty charts', async () => {
  await visit(REPORT, { script: false }, async (page) => {
    const html = readFileSync(REPORT, 'utf8');
    assert.match(html, /No winner: scopes differ/);
    const height = await page.$eval('.charts', (charts) => getComputedStyle(charts).display).catch(() => 'none');
    assert.equal(height, 'none');
  });
});
