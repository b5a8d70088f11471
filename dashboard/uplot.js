// uPlot without what this page does not use. uPlot is built with flags for its features, but the package only has the
// build with all of them. The source of the one version in package-lock.json is known: every replacement says how often
// it must match, and another version of uPlot fails the build instead of drawing something else.
import { readFile } from 'node:fs/promises';

const UNUSED = [
  ['static members: other paths, joins, synchronized charts', /uPlot\.assign = assign;[^]*(?=export \{)/g, '', 1],
  ['axes of time: x is an index', /\bisTime\b(?! =)/g, 'false', 7],
  ['axes of time: their splits and labels', /\tconst _timeAxisSplits =[^]*?\n\n/g, '', 1],
  ['axes of time: their steps', /const \[ timeIncrs(Ms|S).*\n/g, '', 2],
  ['axes of time: formats and zones', /\tconst _(fmtDate|tzDate) .*\n/g, '', 2],
  ['logarithmic and asinh scales', /\b\w+\.distr (==|>=) [34]\b/g, 'false', 12],
  ['ordinal and custom scales', /\b\w+\.distr == (2|100)\b/g, 'false', 8],
  ['the legend', /\bshowLegend\b(?! =)/g, 'false', 9],
  ['the legend: live values', /\blegend\.(live|show)\b/g, 'false', 9],
  ['charts that are not over x', /\bmode == 2\b/g, 'false', 16],
  ['charts that are not over x', /\bmode == 1\b/g, 'true', 16],
  ['synchronized cursors', /\bsyncKey != null\b/g, 'false', 2],
];

/** An esbuild plugin. */
export const uplot = {
  name: 'uplot',
  setup(build) {
    build.onLoad({ filter: /uPlot\.esm\.js$/ }, async ({ path }) => {
      let contents = await readFile(path, 'utf8');
      for (const [what, pattern, replacement, times] of UNUSED) {
        const found = contents.match(pattern)?.length ?? 0;
        if (found !== times) throw new Error(`uPlot has changed: "${what}" matches ${found} times, not ${times}`);
        contents = contents.replace(pattern, replacement);
      }
      return { contents };
    });
  },
};
