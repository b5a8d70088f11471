// The chart: lines over buckets. x is the bucket's index, so that a day of 23 hours is as wide as any.
import uPlot from 'uplot';

import { tickLabels, ticks } from './time.js';
import { short } from './words.js';

const LABEL_WIDTH = 68;
const CHARACTER_WIDTH = 7;
const FONT = '12px system-ui, sans-serif';
/** Axis steps of figures that are whole. */
const WHOLE_STEPS = Array.from({ length: 48 }, (_, place) => [1, 2, 5][place % 3] * 10 ** Math.floor(place / 3));

const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

/** A series' colour and whether its line is dashed: what tells them apart is never colour alone. */
export const look = (place) => ({ colour: `--c${place}`, dashed: place % 2 === 1 });

/**
 * Draws `series` ([{ values }], one value per time) into `into`, in place of what is there.
 * `told(index)` hears of the bucket under the cursor, null for none; `chosen(first, last)` of a span that was dragged.
 */
export function draw(into, { times, series, interval, whole, told, chosen }) {
  const indexes = times.map((_, index) => index);
  const axis = { stroke: variable('--muted'), font: FONT, grid: { stroke: variable('--line'), width: 1 } };
  const chart = new uPlot(
    {
      width: into.clientWidth,
      height: into.clientHeight,
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false }, points: { fill: (_, line) => variable(look(line - 1).colour) } },
      scales: {
        x: { time: false, range: () => (times.length > 1 ? [0, times.length - 1] : [-1, 1]) },
        y: { range: { min: { pad: 0.1, soft: 0, mode: 1 }, max: { pad: 0.1, soft: 0, mode: 1 } } },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          ticks: { stroke: variable('--line'), size: 6 },
          splits: (self) => ticks(times, Math.max(2, Math.floor(self.bbox.width / devicePixelRatio / LABEL_WIDTH))),
          values: (_, splits) => tickLabels(times, splits, interval),
        },
        {
          ...axis,
          space: 45,
          ticks: { show: false },
          ...(whole && { incrs: WHOLE_STEPS }),
          values: (_, splits) => splits.map(short),
          size: (_, labels) => 16 + CHARACTER_WIDTH * Math.max(3, ...(labels ?? []).map((label) => label.length)),
        },
      ],
      series: [
        {},
        ...series.map(({ values }, place) => {
          const { colour, dashed } = look(place);
          const stroke = variable(colour);
          return {
            stroke,
            width: 2,
            ...(series.length === 1 ? { fill: `${stroke}22` } : {}),
            ...(dashed && { dash: [7, 3] }),
            points: {
              fill: variable('--box'),
              ...(series.length > 1 && { show: false }),
              // A value between gaps is on no line: it gets a point even where the others have none.
              filter: (self, line, shown) =>
                shown
                  ? null
                  : indexes.filter((i) => values[i] != null && values[i - 1] == null && values[i + 1] == null),
            },
          };
        }),
      ],
      hooks: {
        setCursor: [(self) => told(self.cursor.idx)],
        setSelect: [
          (self) => {
            const { left, width } = self.select;
            if (width > 0) chosen(self.posToIdx(left), self.posToIdx(left + width));
          },
        ],
      },
    },
    [indexes, ...series.map(({ values }) => values)],
    (self, ready) => {
      into.replaceChildren(self.root);
      ready();
    },
  );
  return {
    /** Puts the cursor on a bucket. */
    point: (index) => {
      const value = chart.data[1][index];
      chart.setCursor({ left: chart.valToPos(index, 'x'), top: value == null ? 0 : chart.valToPos(value, 'y') });
    },
    /** Takes the cursor away. */
    leave: () => chart.setCursor({ left: -10, top: -10 }),
    fit: () =>
      into.clientWidth &&
      into.clientWidth !== chart.width &&
      chart.setSize({ width: into.clientWidth, height: into.clientHeight }),
    drop: () => chart.destroy(),
  };
}
