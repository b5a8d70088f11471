// Builds the page into one file without outside references, and the Content-Security-Policy that lets just this page run.
// `node build.js` writes both into core/src; `node build.js --check` fails if what is there is not what would be written.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';

import esbuild from 'esbuild';

import { uplot } from './uplot.js';

const LIMIT = 60_000;

const file = (path) => fileURLToPath(new URL(path, import.meta.url));
const PAGE = file('../core/src/dashboard.html.gz');
const POLICY = file('../core/src/dashboard.csp');

/** One bundle, minified. */
async function bundle(entry) {
  const { outputFiles } = await esbuild.build({
    entryPoints: [file(entry)],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: ['es2022', 'chrome111', 'firefox114', 'safari16.4'],
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [uplot],
  });
  return outputFiles[0].text.trim();
}

const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

async function build() {
  const [html, script, style] = await Promise.all([
    readFile(file('src/index.html'), 'utf8'),
    bundle('src/main.js'),
    bundle('src/style.css'),
  ]);
  const page = html
    .replace('<script></script>', () => `<script>${script}</script>`)
    .replace('<style></style>', () => `<style>${style}</style>`);
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return { page, policy };
}

/** The file's text; none if there is no such file, or it is damaged. */
async function present(path, decode) {
  try {
    return decode(await readFile(path)).toString();
  } catch {
    return undefined;
  }
}

const { page, policy } = await build();
// Compared inflated: another build of zlib may compress the same page to other bytes, which is no reason to write it anew.
const current = (await present(PAGE, gunzipSync)) === page && (await present(POLICY, (bytes) => bytes)) === policy;
if (process.argv.includes('--check') && !current) {
  console.error('core/src/dashboard.html.gz or .csp is not what its source gives: run `npm run build` in dashboard/');
  process.exit(1);
}
if (!current) {
  const zipped = gzipSync(page, { level: 9 });
  zipped[9] = 255; // The system that made it: unknown. The time is 0 already.
  await writeFile(PAGE, zipped);
  await writeFile(POLICY, policy);
}
const size = (await readFile(PAGE)).length;
console.log(`dashboard: ${Buffer.byteLength(page)} bytes, ${size} gzip (limit ${LIMIT})`);
if (size > LIMIT) {
  console.error(`the page is larger than ${LIMIT} bytes gzip`);
  process.exit(1);
}
