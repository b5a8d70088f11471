// Writes a picture of a page of `isotherm report`, as far down as the verdict's answers: node picture.mjs PAGE PICTURE
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { PATIENCE, launch } from './chromium.mjs';

const [from, to] = process.argv.slice(2);
assert.ok(from && to, 'node picture.mjs PAGE PICTURE');
const browser = await launch();
const page = await browser.newPage();
page.setDefaultTimeout(PATIENCE);
await page.setViewport({ width: 1280, height: 960 });
await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'light' }]);
await page.goto(pathToFileURL(resolve(from)).href);
await page.waitForSelector('.drawn .plot canvas');
const height = await page.$eval('#verdict .answers', (answers) => Math.ceil(answers.getBoundingClientRect().bottom) + 8);
await page.screenshot({ path: to, clip: { x: 0, y: 0, width: 1280, height } });
await browser.close();
