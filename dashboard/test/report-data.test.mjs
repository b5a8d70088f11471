// What the report's charts draw, without a browser.
import assert from 'node:assert/strict';
import test from 'node:test';

import { curves, ecdf, nines, percentiles, quantile, stack, title } from '../report/data.js';
import { looks } from '../report/looks.js';
import { linearTime, percent, percentile, time } from '../report/words.js';

const platform = (name, samples) => {
  const around = (value) => ({ value, low: value * 0.9, high: value * 1.1 });
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) =>
    around(
      quantile(
        [...samples].sort((a, b) => a - b),
        share,
      ),
    ),
  );
  return { platform: name, warm: { latency: { n: samples.length, samples, p50, p90, p99 } } };
};

test('a distribution rises at its samples from 0 to 1', () => {
  const { x, series } = ecdf([platform('lambda', [4, 2]), platform('spin', [1, 1, 4])], 'warm.latency');
  assert.deepEqual(x, [0.9, 1, 2, 4, 4.4]);
  assert.deepEqual(
    series.map(({ y }) => y),
    [
      [0, 0, 0.5, 1, 1],
      [0, 2 / 3, 2 / 3, 1, 1],
    ],
  );
});

test('percentiles are those of the figures, and end where samples are too few', () => {
  const samples = Array.from({ length: 101 }, (_, i) => i + 1);
  const few = percentiles([platform('lambda', samples)], 'warm.latency');
  assert.equal(few.x.at(-1), 2);
  assert.ok(Math.abs(few.series[0].y.at(-1) - 100) < 1e-9);
  assert.deepEqual(
    few.series[0].marks.map((mark) => mark.value),
    [51, 91, 100],
  );
  assert.equal(few.series[0].marks[1].at, nines(0.9));
  const many = percentiles(
    [
      platform(
        'lambda',
        Array.from({ length: 100_000 }, (_, i) => i),
      ),
    ],
    'warm.latency',
  );
  assert.equal(many.x.at(-1), 4);
});

test('costs are stacked by service, in the order in which they come', () => {
  const [three, five] = [3, 5].map((value) => ({ value, low: value - 1, high: value + 1 }));
  const lines = [
    {
      name: 'lambda',
      total: three,
      items: [
        { service: 'gateway', usd: 1 },
        { service: 'store', usd: 2 },
      ],
    },
    { name: 'native', total: five, items: [{ service: 'node', usd: 5 }] },
  ];
  assert.deepEqual(stack(lines), {
    names: ['lambda', 'native'],
    services: ['gateway', 'store', 'node'],
    tops: [
      [1, 0],
      [3, 0],
      [3, 5],
    ],
    totals: [three, five],
  });
});

test('services that have no colour left are one layer, the least of them', () => {
  const items = 'abcdefghij'.split('').map((service, at) => ({ service, usd: [5, 0.01, 4, 3, 8, 7, 0, 6, 2, 0.02][at] }));
  const { services, tops } = stack([{ name: 'lambda', total: { value: 35.03 }, items }]);
  assert.deepEqual(services, ['a', 'c', 'd', 'e', 'f', 'h', 'i', 'b, g, j']);
  assert.ok(Math.abs(tops.at(-1)[0] - 35.03) < 1e-9);
});

test('curves have a value over all x within their own', () => {
  const { x, series } = curves([
    {
      name: 'a',
      points: [
        [1, 0],
        [100, 2],
      ],
    },
    {
      name: 'b',
      kind: 'modelled',
      points: [
        [10, 5],
        [1000, 5],
      ],
    },
  ]);
  assert.deepEqual(x, [1, 10, 100, 1000]);
  assert.deepEqual(series[0].y, [0, 1, 2, null]);
  assert.deepEqual(series[1], { name: 'b', kind: 'modelled', y: [null, 5, 5, 5] });
});

test('platforms look the same everywhere, and no two series alike', () => {
  const names = ['lambda', 'workers', 'spin', 'native', 'baseline', 'lambda, kept', 'lambda, pinged', 'other'];
  const seen = looks(names).map(({ variable, dash }) => `${variable} ${dash}`);
  assert.equal(new Set(seen).size, names.length, seen.join('; '));
  assert.deepEqual(looks(['spin', 'lambda']), [looks(names)[2], looks(names)[0]]);
});

test('figures in words', () => {
  assert.deepEqual([0.0972, 1.5, 12_345].map(time), ['97.2 µs', '1.5 ms', '12.3 s']);
  assert.deepEqual([0, 0.5, 2].map(linearTime), ['0', '0.5 ms', '2 ms']);
  assert.deepEqual([nines(0.5), 1, 2, 3].map(percentile), ['p50', 'p90', 'p99', 'p99.9']);
  assert.equal(percent(0.309), '30.9 %');
  assert.deepEqual(['lambda, kept', 'native', 'baseline'].map(title), ['Lambda, kept', 'native', 'baseline']);
});
