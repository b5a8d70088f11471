// Builds the two pages, each into one file without outside references, and the Content-Security-Policy that lets just that page run;
// and the script that other sites' pages include.
// `node build.js` writes them to where the Rust programs include them; `node build.js --check` fails if what is there is not what would be
// written.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';

import esbuild from 'esbuild';

import { uplot } from './uplot.js';

const file = (path) => fileURLToPath(new URL(path, import.meta.url));

/** One bundle, minified. */
async function bundle(entry, plugins) {
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
    plugins,
  });
  return outputFiles[0].text.trim();
}

const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** A folder's page with its script and style in it, and the policy: only these, and `further`. */
async function build(folder, { plugins, further }) {
  const [html, script, style] = await Promise.all([
    readFile(file(`${folder}/index.html`), 'utf8'),
    bundle(`${folder}/main.js`, plugins),
    bundle(`${folder}/style.css`, plugins),
  ]);
  const page = html
    .replace('<script></script>', () => `<script>${script}</script>`)
    .replace('<style></style>', () => `<style>${style}</style>`);
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    ...further,
    "base-uri 'none'",
    "form-action 'none'",
  ];
  return { page, policy };
}

/** What every platform serves: packed, since it is part of every artifact; the policy is a header. */
async function dashboard() {
  const further = ["connect-src 'self'", 'img-src data:'];
  const { page, policy } = await build('src', { plugins: [uplot], further });
  const zipped = gzipSync(page, { level: 9 });
  zipped[9] = 255; // The system that made it: unknown. The time is 0 already.
  return [
    // Compared inflated: another build of zlib may compress the same page to other bytes, which is no reason to write it anew.
    { path: '../core/src/dashboard.html.gz', content: zipped, decode: gunzipSync, limit: 60_000 },
    { path: '../core/src/dashboard.csp', content: Buffer.from([...policy, "frame-ancestors 'none'"].join('; ')) },
  ];
}

/** What `isotherm compare` fills in: opened from a disk, so the policy is in it. */
async function report() {
  const { page, policy } = await build('report', { further: ['img-src data:'] });
  const content = page.replace('-Policy" content="">', () => `-Policy" content="${policy.join('; ')}">`);
  return [{ path: '../bench/src/render/page.html', content: Buffer.from(content), limit: 120_000 }];
}

/** What pages of other sites include. Core holds it as it is; the limit is of what it takes packed. */
async function script() {
  const content = Buffer.from(`${await bundle('script/main.js', [])}\n`);
  return [{ path: '../core/src/i.js', content, limit: 2_000, packed: (bytes) => gzipSync(bytes, { level: 9 }) }];
}

/** The file's bytes, decoded; none if there is no such file, or it is damaged. */
async function present(path, decode) {
  try {
    return decode(await readFile(file(path)));
  } catch {
    return undefined;
  }
}

const same = (bytes) => bytes;
const files = [...(await dashboard()), ...(await report()), ...(await script())];
for (const { path, content, decode = same, limit, packed = same } of files) {
  const current = (await present(path, decode))?.equals(decode(content));
  if (!current && process.argv.includes('--check')) {
    console.error(`${path.slice(3)} is not what its source gives: run \`npm run build\` in dashboard/`);
    process.exitCode = 1;
  } else if (!current) {
    await writeFile(file(path), content);
  }
  if (!limit) continue;
  const size = packed(await readFile(file(path))).length;
  console.log(`${path.slice(3)}: ${size} bytes (limit ${limit})`);
  if (size > limit) {
    console.error(`${path.slice(3)} is larger than ${limit} bytes`);
    process.exitCode = 1;
  }
}
