// A real browser, and what tests of every page do with it.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';

import puppeteer from 'puppeteer-core';

const { SCREENSHOTS, CHROMIUM = '/usr/bin/chromium' } = process.env;
/** Generous: the machine may be busy with other tests. */
export const PATIENCE = 120_000;
if (SCREENSHOTS) mkdirSync(SCREENSHOTS, { recursive: true });

export let browser;
before(async () => {
  // Neither a GPU nor shared memory of any size is to be had in a container.
  const args = ['--disable-gpu', '--disable-dev-shm-usage', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
  browser = await puppeteer.launch({ executablePath: CHROMIUM, args, timeout: PATIENCE, protocolTimeout: PATIENCE });
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
