// Starts the browser, for tests and for the picture of a page.
import puppeteer from 'puppeteer-core';

const { CHROMIUM = '/usr/bin/chromium' } = process.env;
/** Generous: the machine may be busy with other work. */
export const PATIENCE = 120_000;

export function launch() {
  // Neither a GPU nor shared memory of any size is to be had in a container.
  const args = ['--disable-gpu', '--disable-dev-shm-usage', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
  return puppeteer.launch({ executablePath: CHROMIUM, args, timeout: PATIENCE, protocolTimeout: PATIENCE });
}
