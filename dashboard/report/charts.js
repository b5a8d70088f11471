// The charts; the one module that knows uPlot.
import uPlot from 'uplot';

import { looks } from './looks.js';
import { title } from './data.js';

const FONT = '12px system-ui, sans-serif';
const SMALL = '10px system-ui, sans-serif';
const CHARACTER = 7;
/** The height of the labels below a chart. */
const BELOW = 28;

const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

/** Ticks of a logarithmic axis: as many of each power of ten as there is room for; even ones where it spans but a part of one. */
function logTicks(chart, axis, least, most) {
  const { width, height } = chart.bbox;
  const count = (axis === 0 ? width / 52 : height / 32) / devicePixelRatio;
  const perPower = count / Math.log10(most / least);
  const steps = perPower >= 3.4 ? [1, 2, 5] : perPower >= 2.2 ? [1, 3] : [1];
  const ticks = [];
  const stride = Math.max(1, Math.ceil(1 / perPower));
  for (let power = Math.floor(Math.log10(least)); 10 ** power <= most; power += stride) {
    ticks.push(...steps.map((step) => Number((step * 10 ** power).toPrecision(1))));
  }
  const inside = ticks.filter((tick) => tick >= least * 0.999 && tick <= most * 1.001);
  return inside.length > 2 || most / least > 10 ? inside : evenTicks(least, most, Math.min(count, 6));
}

/** At most `count` ticks at whole multiples of 1, 2 or 5 times a power of ten. */
function evenTicks(least, most, count) {
  const rough = (most - least) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const first = Math.ceil(least / step);
  const ticks = Array.from({ length: Math.floor(most / step) - first + 1 }, (_, i) => (first + i) * step);
  return ticks.map((tick) => Number(tick.toPrecision(6)));
}

/** A logarithmic scale that ends close around what it shows, not at the next powers of ten. */
const closely = (factor) => (_, least, most) => [least / factor, most * factor];

const axis = (options) => ({
  stroke: variable('--muted'),
  font: FONT,
  grid: { stroke: variable('--line'), width: 1 },
  ticks: { show: false },
  ...options,
});

const wide = (values) => ({
  values: (_, splits) => splits.map((split) => (split == null ? '' : values(split))),
  size: (_, labels) => 14 + CHARACTER * Math.max(3, ...(labels ?? []).map((label) => label.length)),
});

/** An interval of a value on the axis `along`, at `across` on the other in the canvas' pixels: a line with ends, and a dot for the value. */
function whisker(chart, along, across, { low, high, value }, stroke, { dot = false } = {}) {
  const { ctx } = chart;
  const reach = 3.5 * devicePixelRatio;
  const to = (method, on, beside) => (along === 'x' ? ctx[method](on, beside) : ctx[method](beside, on));
  const [from, until, at] = [low, high, value].map((end) => chart.valToPos(end, along, true));
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.fillStyle = stroke;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.beginPath();
  for (const end of [from, until]) {
    to('moveTo', end, across - reach);
    to('lineTo', end, across + reach);
  }
  to('moveTo', from, across);
  to('lineTo', until, across);
  ctx.stroke();
  if (dot) {
    ctx.beginPath();
    ctx.arc(...(along === 'x' ? [at, across] : [across, at]), 3.5 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fill();
  }
  ctx.restore();
}

/** The size of a chart in its place. On paper the place is as high as the chart, so the height is told by the style sheet. */
const size = (into) => ({
  width: into.clientWidth,
  height: parseFloat(getComputedStyle(into).getPropertyValue('--height')),
});

/** Draws into `into`, in place of what is there. `told(index)` hears of the place under the cursor, null for none. */
function make(into, options, data, told) {
  const chart = new uPlot(
    {
      ...size(into),
      legend: { show: false },
      padding: [12, 16, null, null],
      ...options,
      cursor: { y: false, drag: { x: false, y: false, setScale: false }, ...options.cursor },
      hooks: { ...options.hooks, setCursor: [(self) => told?.(self.cursor.idx ?? null)] },
    },
    data,
    (self, ready) => {
      into.replaceChildren(self.root);
      ready();
    },
  );
  return {
    fit: () => into.clientWidth && into.clientWidth !== chart.width && chart.setSize(size(into)),
    point: (index) => chart.setCursor({ left: chart.valToPos(chart.data[0][index], 'x'), top: 0 }),
    leave: () => chart.setCursor({ left: -10, top: -10 }),
    last: chart.data[0].length - 1,
    drop: () => chart.destroy(),
  };
}

/**
 * Lines. `xAxis` and `yAxis` say how they are scaled and labelled: `{ log, label, splits, range }`. The `marks` of a series are figures with
 * intervals, of what is time: along y, or along x where lines are `stepped`. `rings` are points that are pointed out.
 */
export function lines(into, { x, series, rings = [], xAxis, yAxis, stepped, told }) {
  const styles = looks(series.map(({ name }) => name));
  const scale = ({ log, range }) => ({ ...(log && { distr: 3 }), range: range ?? closely(1.15), time: false });
  const overlay = (chart) => {
    const [along, other] = stepped ? ['x', 'y'] : ['y', 'x'];
    series.forEach(({ marks = [] }, place) => {
      // Beside each other, or whiskers of platforms that tie would hide each other.
      const shift = (place - (series.length - 1) / 2) * (stepped ? 2 : 5) * devicePixelRatio;
      for (const mark of marks) {
        const across = chart.valToPos(mark.at, other, true) + shift;
        whisker(chart, along, across, mark, variable(styles[place].variable), { dot: true });
      }
    });
    for (const ring of rings) {
      const { ctx } = chart;
      ctx.save();
      ctx.strokeStyle = variable('--text');
      ctx.lineWidth = 2 * devicePixelRatio;
      ctx.beginPath();
      ctx.arc(
        chart.valToPos(ring[0], 'x', true),
        chart.valToPos(ring[1], 'y', true),
        6 * devicePixelRatio,
        0,
        2 * Math.PI,
      );
      ctx.stroke();
      ctx.restore();
    }
  };
  return make(
    into,
    {
      scales: { x: scale(xAxis), y: scale(yAxis) },
      axes: [
        axis({
          space: 60,
          size: BELOW,
          ...((xAxis.log || xAxis.splits) && { splits: xAxis.splits ?? logTicks, filter: (_, splits) => splits }),
          values: (_, splits) => splits.map(xAxis.label),
        }),
        axis({
          space: 36,
          ...((yAxis.log || yAxis.splits) && { splits: yAxis.splits ?? logTicks, filter: (_, splits) => splits }),
          ...wide(yAxis.label),
        }),
      ],
      series: [
        {},
        ...styles.map(({ variable: colour, dash }) => ({
          stroke: variable(colour),
          width: 2,
          dash,
          spanGaps: true,
          points: { show: false },
          ...(stepped && { paths: uPlot.paths.stepped({ align: 1 }) }),
        })),
      ],
      cursor: { points: { fill: (_, line) => variable(styles[line - 1].variable) } },
      hooks: { draw: [overlay] },
    },
    [x, ...series.map(({ y }) => y)],
    told,
  );
}

const BAR = 0.55;

/** The x scale and axis of bars: one place a name, smaller where names have little room. */
const places = (names, width) => ({
  scale: { time: false, range: () => [-0.6, names.length - 0.4] },
  axis: axis({
    size: BELOW,
    ...(width < 80 * names.length && { font: SMALL }),
    grid: { show: false },
    splits: () => names.map((_, i) => i),
    values: (_, splits) => splits.map((i) => title(names[i])),
  }),
});

/** A range from 0 to above all intervals. */
const fromZero = (figures) => () => [0, Math.max(...figures.map(({ high }) => high)) * 1.08];

/** A whisker on each bar whose figure has an interval. */
function intervals(chart, figures) {
  figures.forEach((figure, i) => {
    if (figure.low < figure.high) whisker(chart, 'y', chart.valToPos(i, 'x', true), figure, variable('--text'));
  });
}

/** Bars with whiskers. */
export function bars(into, { figures, label, told }) {
  const { scale, axis: names } = places(
    figures.map(({ name }) => name),
    into.clientWidth,
  );
  const styles = looks(figures.map(({ name }) => name));
  const x = figures.map((_, i) => i);
  return make(
    into,
    {
      scales: { x: scale, y: { range: fromZero(figures) } },
      axes: [names, axis({ space: 36, ...wide(label) })],
      series: [
        {},
        ...styles.map((style) => ({
          fill: variable(style.variable),
          width: 0,
          points: { show: false },
          paths: uPlot.paths.bars({ size: [BAR, 90] }),
        })),
      ],
      cursor: { x: false, points: { show: false } },
      hooks: { draw: [(chart) => intervals(chart, figures)] },
    },
    [x, ...figures.map((figure, own) => x.map((i) => (i === own ? figure.value : null)))],
    told,
  );
}

/** The variable of each place in a stack. */
export const layer = (place) => `--c${place}`;

/** Bars that are stacked: the largest is drawn first, each smaller one over it. */
export function stacks(into, { names, tops, totals, label, told }) {
  const { scale, axis: below } = places(names, into.clientWidth);
  const x = names.map((_, i) => i);
  const order = tops.map((_, place) => tops.length - 1 - place);
  return make(
    into,
    {
      scales: { x: scale, y: { range: fromZero(totals) } },
      axes: [below, axis({ space: 36, ...wide(label) })],
      series: [
        {},
        ...order.map((place) => ({
          fill: variable(layer(place)),
          stroke: variable('--box'),
          width: 1,
          points: { show: false },
          paths: uPlot.paths.bars({ size: [BAR, 90] }),
        })),
      ],
      cursor: { x: false, points: { show: false } },
      hooks: { draw: [(chart) => intervals(chart, totals)] },
    },
    [x, ...order.map((place) => tops[place])],
    told,
  );
}
