// A real browser, and what tests of every page do with it.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';

import { PATIENCE, launch } from '../chromium.mjs';

export { PATIENCE };

const { SCREENSHOTS } = process.env;
if (SCREENSHOTS) mkdirSync(SCREENSHOTS, { recursive: true });

export let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

export const shoot = (page, name) =>
  SCREENSHOTS && page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
export const text = (page, selector) => page.$eval(selector, (found) => found.innerText);

/** Whether a script that something has put into the page runs, or a request leaves it. */
export const isOpen = (page) =>
  page.evaluate(async () => {
    document.head.append(Object.assign(document.createElement('script'), { textContent: 'window.injected = 1' }));
    const sent = await fetch('https://example.com/').then(
      () => true,
      () => false,
    );
    return Boolean(window.injected) || sent;
  });
