// The dashboard in a real browser, and what the tests ask of it.
import assert from 'node:assert/strict';

import { PATIENCE, browser } from './chromium.mjs';

const { ISOTHERM_URL, ISOTHERM_KEY } = process.env;
assert.ok(ISOTHERM_URL, 'ISOTHERM_URL must name a server that has the flights of January 2013');
const ORIGIN = new URL(ISOTHERM_URL).origin;
export const JANUARY = 'from=2013-01-01T00:00&to=2013-02-02T00:00&tz=UTC';
export const IDLE = 'main[aria-busy=false]';

/**
 * Opens the page in a browser profile of its own, hands it to `body`, and afterwards fails on anything that the browser
 * complained of. `prepare(page)` may change the browser before the page loads. `answer(request)` may answer requests of reports itself; a failed load it causes is not complained of.
 */
export async function visit(
  fragment,
  { width = 1280, scheme = 'light', answer, wait = IDLE, key = ISOTHERM_KEY, prepare } = {},
  body,
) {
  const profile = await browser.createBrowserContext();
  const page = await profile.newPage();
  const problems = [];
  page.setDefaultTimeout(PATIENCE);
  await page.setViewport({ width, height: width < 500 ? 740 : 900 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.exposeFunction('violated', (what) => problems.push(`CSP: ${what}`));
  await page.evaluateOnNewDocument((given) => {
    addEventListener('securitypolicyviolation', (event) =>
      window.violated(`${event.violatedDirective} ${event.blockedURI}`),
    );
    if (given) sessionStorage.setItem('isotherm.key', given);
  }, key);
  await prepare?.(page);
  page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
  page.on('console', (message) => {
    const caused = answer && message.text().startsWith('Failed to load resource');
    if (['error', 'warn'].includes(message.type()) && !caused) problems.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol !== 'data:' && url.origin !== ORIGIN) problems.push(`request to ${url}`);
  });
  if (answer) {
    await page.setRequestInterception(true);
    page.on('request', (request) => (request.url().includes('/reports/') && answer(request)) || request.continue());
  }
  const response = await page.goto(`${ORIGIN}/dashboard#${fragment}`);
  assert.equal(response.status(), 200);
  if (wait) await page.waitForSelector(wait);
  await body(page, { problems, response });
  assert.deepEqual(problems, []);
  await profile.close();
}

export const seen = (page, selector) => page.$eval(selector, (found) => found.checkVisibility());
export const picture = (page) => page.$eval('.plot canvas', (canvas) => canvas.toDataURL());
export const until = (page, selector, wanted) =>
  page.waitForFunction((where, what) => document.querySelector(where)?.innerText.includes(what), {}, selector, wanted);
export const refuse = (request, status, message, headers = {}) => {
  const body = JSON.stringify({ error: 'x', code: 'x', message, requestId: 'req_1' });
  request.respond({ status, headers, contentType: 'application/json', body });
  return true;
};

/** Goes on with Tab until the element has the focus, which must be visible. */
export async function tabTo(page, selector) {
  for (let count = 0; count < 40; count++) {
    if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) {
      const marked = await page.evaluate(() => {
        const own = document.activeElement;
        return [own, own.nextElementSibling].some((part) => part && getComputedStyle(part).outlineStyle !== 'none');
      });
      assert.ok(marked, `${selector} shows that it has the focus`);
      return;
    }
    await page.keyboard.press('Tab');
  }
  assert.fail(`Tab does not reach ${selector}`);
}
