// The panel of figures over time: rows of the report by bucket and group, as a chart, a legend and a table.
import { draw, look } from './chart.js';
import { element, find, say } from './dom.js';
import { bucketInWords } from './time.js';
import { metricName, number, splitMetric } from './words.js';

/** As many lines as can be told apart. */
const LINES = 8;
const TABLE_ROWS = 1000;

const panel = find('#series');
const plot = find('.plot', panel);
const readout = find('.readout', panel);
const empty = find('.empty', panel);
const details = find('details', panel);

let chart;
let shown;
/** The bucket that is pointed at; null for none. */
let at = null;
let zoom;

/** Rows as one list of times and, for each group, a value per time; groups with most events first. */
function pivot(rows, metric) {
  const times = [];
  const groups = new Map();
  for (const row of rows) {
    if (row.time !== times.at(-1)) times.push(row.time);
    const name = row.group ?? metricName(metric);
    let group = groups.get(name);
    if (!group) groups.set(name, (group = { name, events: 0, values: [] }));
    group.values[times.length - 1] = row[metric] ?? null;
    group.events += row.count;
  }
  const series = [...groups.values()].sort((a, b) => b.events - a.events);
  for (const { values } of series) {
    for (let i = 0; i < times.length; i++) values[i] ??= null;
  }
  return { times, series };
}

/** A bucket in words, with its zone's offset where clocks went back and the words come twice. */
function bucket(index) {
  const { times, interval } = shown;
  const words = bucketInWords(times[index], interval);
  const twice = [index - 1, index + 1].some((near) => times[near]?.slice(0, 16) === times[index].slice(0, 16));
  return twice ? `${words} (${times[index].slice(19)})` : words;
}

const count = (times, unit) => `${number(times)} ${unit}${times === 1 ? '' : 's'}`;

/** The extremes, for who does not see the chart. */
function described() {
  return shown.series
    .map(({ name, values }) => {
      const known = values.filter((value) => value != null);
      if (known.length === 0) return `${name}: no values`;
      const [least, most] = [Math.min(...known), Math.max(...known)];
      const where = (value) => bucket(values.indexOf(value));
      return `${name}: lowest ${number(least)}, ${where(least)}; highest ${number(most)}, ${where(most)}`;
    })
    .join('. ');
}

/** The legend, with the values of the bucket that is pointed at. */
function tell(index) {
  at = index;
  const when = index == null ? count(shown.times.length, shown.interval) : bucket(index);
  const items = shown.series.map(({ name, values }, place) => {
    const { colour, dashed } = look(place);
    const swatch = element('i');
    swatch.style.borderTop = `3px ${dashed ? 'dashed' : 'solid'} var(${colour})`;
    const value = index == null ? [] : [' ', element('b', { textContent: number(values[index]) })];
    return element('span', {}, swatch, name, ...value);
  });
  readout.replaceChildren(element('span', { className: 'when', textContent: when }), ...items);
  const spoken = index == null ? [] : shown.series.map(({ name, values }) => `${name} ${number(values[index])}`);
  plot.ariaValueNow = index ?? 0;
  plot.ariaValueText = index == null ? 'No interval chosen' : `${when}: ${spoken.join(', ')}`;
}

function table() {
  if (!details.open) return;
  const { times, series } = shown;
  const head = ['Time', ...series.map(({ name }) => name)].map((text) =>
    element('th', { scope: 'col', textContent: text }),
  );
  const rows = times.slice(0, TABLE_ROWS).map((_, index) => {
    const cells = series.map(({ values }) => element('td', { textContent: number(values[index]) }));
    return element('tr', {}, element('th', { scope: 'row', textContent: bucket(index) }), ...cells);
  });
  const made = element('table', {}, element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...rows));
  const rest = times.length - rows.length;
  find('.scroll', details).replaceChildren(
    made,
    ...(rest > 0
      ? [element('p', { className: 'note', textContent: `${number(rest)} more: choose a longer interval.` })]
      : []),
  );
}

function redraw() {
  chart?.drop();
  const { times, series, interval, metric } = shown;
  const before = at;
  chart = draw(plot, {
    times,
    series,
    interval,
    whole: metric === 'count' || metric === 'users',
    told: (index) => tell(index ?? null),
    chosen: (first, last) => last > first && zoom(times[first], times[last + 1]),
  });
  tell(before != null && before < times.length ? before : null);
  if (at != null) chart.point(at);
}

/** Shows a report, and hears through `zoomed(from, to)` of a span that was dragged; `to` may be undefined, the end. */
export function show(reply, metric, zoomed) {
  const { times, series } = pivot(reply.rows, metric);
  const lines = series.slice(0, LINES);
  shown = { times, series: lines, interval: reply.interval, metric };
  zoom = zoomed;
  const none = series.every(({ events, values }) => events === 0 || values.every((value) => value == null));
  const numbers = metric.includes(':') ? ` with a number as ${splitMetric(metric)[1]}` : '';
  say(empty, none ? `No events${numbers} in this range.` : '');
  for (const part of [plot, readout, details]) part.hidden = none;
  if (none) return [];
  plot.ariaLabel = `Chart of ${metricName(metric)}. Arrow keys read its values.`;
  plot.ariaValueMax = times.length - 1;
  redraw();
  plot.ariaDescription = described();
  table();
  return [
    series.length > LINES && `The ${LINES} of ${series.length} values with most events are shown.`,
    reply.next && `More than can be shown: up to ${bucket(times.length - 1)}. Choose a longer interval.`,
  ].filter(Boolean);
}

/** Shows nothing but `text`. */
export function hide(text) {
  for (const part of [plot, readout, details]) part.hidden = true;
  say(empty, text);
}

plot.addEventListener('keydown', (event) => {
  const last = shown.times.length - 1;
  const start = at ?? (event.key === 'ArrowLeft' ? last + 1 : -1);
  const steps = {
    ArrowLeft: start - 1,
    ArrowDown: start - 1,
    ArrowRight: start + 1,
    ArrowUp: start + 1,
    Home: 0,
    End: last,
  };
  const page = Math.ceil(last / 10);
  Object.assign(steps, { PageDown: start - page, PageUp: start + page });
  if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  chart.point(Math.min(last, Math.max(0, steps[event.key])));
});
plot.addEventListener('blur', () => chart.leave());
details.addEventListener('toggle', table);
new ResizeObserver(() => chart?.fit()).observe(plot);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot.hidden || redraw());
