// The page: its text is there; this draws the charts from the result that is embedded, and hands the result out.
import { bars as drawBars, layer, lines, stacks } from './charts.js';
import { bars, curves, ecdf, nines, percentiles, stack, title } from './data.js';
import { looks } from './looks.js';
import { count, linearTime, percent, percentile, short, time } from './words.js';
import { element, find } from '../src/dom.js';

const text = find('#result').textContent;
const result = JSON.parse(text);

const SHARES = { range: () => [0, 1.02], splits: () => [0, 0.25, 0.5, 0.75, 1], label: percent };
const usd = (value) => `$${count(value)}`;

const names = (series) => series.map(({ name }) => name);
const ends = (series, end) => series.flatMap(({ marks }) => marks.map((mark) => mark[end]));

/** What each kind of chart shows: how it is drawn, and what is read off at a place. */
const KINDS = {
  ecdf: (of) => {
    const { x, series } = ecdf(result.platforms, of);
    const range = (_, least, most) => [
      Math.min(least, ...ends(series, 'low')),
      Math.max(most, ...ends(series, 'high')),
    ];
    const draw = (into, told) =>
      lines(into, { x, series, xAxis: { log: true, label: time, range }, yAxis: SHARES, stepped: true, told });
    return {
      draw,
      names: names(series),
      at: (i) => time(x[i]),
      values: (i) => series.map(({ y }) => percent(y[i])),
    };
  },
  percentiles: (of) => {
    const { x, series } = percentiles(result.platforms, of);
    const last = x.at(-1);
    const xAxis = {
      range: () => [-0.05, last + 0.08],
      splits: () => [0.5, 0.9, 0.99, 0.999, 0.9999].map(nines).filter((tick) => tick <= last + 0.01),
      label: percentile,
    };
    const range = (_, least, most) => [
      Math.min(least, ...ends(series, 'low')) / 1.15,
      Math.max(most, ...ends(series, 'high')) * 1.15,
    ];
    const draw = (into, told) => lines(into, { x, series, xAxis, yAxis: { log: true, label: time, range }, told });
    return {
      draw,
      names: names(series),
      at: (i) => percentile(x[i]),
      values: (i) => series.map(({ y }) => time(y[i])),
    };
  },
  bars: (of) => {
    const figures = bars(result.platforms, of);
    const label = of === 'cpu_ms_per_request' ? linearTime : short;
    return { draw: (into, told) => drawBars(into, { figures, label, told }) };
  },
  stack: () => {
    const { services, ...bars } = stack(result.cost.lines);
    const draw = (into, told) => stacks(into, { ...bars, label: usd, told });
    return { draw, names: services, areas: true };
  },
  volume: () => {
    const { x, series } = curves(result.cost.curves);
    const rings = result.cost.crossings.map((crossing) => [crossing.monthly_events, crossing.usd]);
    // Nothing is free of charge on a logarithmic axis: below a cent there is no line.
    const drawn = series.map((one) => ({ ...one, y: one.y.map((value) => (value >= 0.01 ? value : null)) }));
    const xAxis = { log: true, label: count, range: (_, least, most) => [least, most] };
    const draw = (into, told) =>
      lines(into, { x, series: drawn, rings, xAxis, yAxis: { log: true, label: usd }, told });
    const values = (i) => series.map(({ y }) => (y[i] == null ? '–' : usd(y[i])));
    return { draw, names: names(series), at: (i) => `${count(x[i])} events a month`, values };
  },
  shares: () => {
    const { x, series } = curves(result.cold_share);
    const xAxis = { log: true, label: count, range: (_, least, most) => [least, most] };
    const draw = (into, told) => lines(into, { x, series, xAxis, yAxis: SHARES, told });
    const values = (i) => series.map(({ y }) => (y[i] == null ? '–' : percent(y[i])));
    const kinds = series.map(({ kind }) => kind);
    return { draw, kinds, names: names(series), at: (i) => `${count(x[i])} requests/s`, values };
  },
};

/** The key to a chart, with the figures at the place that is pointed at. */
function key({ names, areas, kinds, at, values }, index) {
  const styles = looks(names);
  const items = names.map((name, place) => {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('viewBox', '0 0 24 8');
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    line.setAttribute('d', 'M0 4H24');
    line.style.stroke = `var(${areas ? layer(place) : styles[place].variable})`;
    line.style.strokeWidth = areas ? 8 : 2.5;
    if (!areas) line.style.strokeDasharray = styles[place].dash.join(' ');
    svg.append(line);
    const kind = kinds ? [element('span', { className: `chip ${kinds[place]}`, textContent: kinds[place] })] : [];
    const value = index == null || !values ? [] : [element('b', { textContent: values(index)[place] })];
    return element('span', {}, svg, title(name), ...kind, ...value);
  });
  return index == null || !at ? items : [...items, element('span', { className: 'at', textContent: at(index) })];
}

/** One chart: drawn, drawn again when colours change, fitted, and read by arrow keys as by the mouse. */
function chart(plot) {
  const kind = KINDS[plot.dataset.chart](plot.dataset.of);
  const readout = element('div', { className: 'key' });
  let drawn;
  let place = null;
  const tell = (index) => {
    place = index;
    if (kind.names) readout.replaceChildren(...key(kind, index));
    if (!kind.values) return;
    const values = index == null ? [] : kind.values(index).map((value, i) => `${title(kind.names[i])} ${value}`);
    plot.ariaValueNow = index ?? 0;
    plot.ariaValueText = index == null ? 'No place chosen' : `${kind.at(index)}: ${values.join(', ')}`;
  };
  const draw = () => {
    drawn?.drop();
    drawn = kind.draw(plot, tell);
    tell(null);
  };
  plot.after(readout);
  draw();
  if (kind.values) {
    // A picture takes no keys: what can be read by them is a slider along its axis, as on the dashboard.
    plot.tabIndex = 0;
    plot.role = 'slider';
    plot.ariaValueMin = 0;
    plot.ariaValueMax = drawn.last;
    plot.ariaDescription = 'Arrow keys read its values.';
    plot.addEventListener('keydown', (event) => {
      const step = Math.max(1, Math.round(drawn.last / 50));
      const from = place ?? (event.key === 'ArrowLeft' ? drawn.last + step : -step);
      const steps = { ArrowLeft: from - step, ArrowRight: from + step, Home: 0, End: drawn.last };
      if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      drawn.point(Math.min(drawn.last, Math.max(0, steps[event.key])));
    });
    plot.addEventListener('blur', () => drawn.leave());
  }
  new ResizeObserver(() => drawn.fit()).observe(plot);
  return draw;
}

/** What is wider than its place can be scrolled with the keyboard too. */
function scrolls(place) {
  const isWide = place.scrollWidth > place.clientWidth;
  place.tabIndex = isWide ? 0 : -1;
  place.role = isWide ? 'region' : null;
  place.ariaLabel = isWide ? find('caption', place).textContent : null;
}

document.documentElement.classList.add('drawn');
const draws = [...document.querySelectorAll('.plot')].map(chart);
for (const media of ['(prefers-color-scheme: dark)', 'print']) {
  matchMedia(media).addEventListener('change', () => draws.forEach((draw) => draw()));
}

const places = new ResizeObserver((changed) => changed.forEach(({ target }) => scrolls(target)));
for (const place of document.querySelectorAll('.scroll')) places.observe(place);

const download = find('#download');
download.href = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
download.hidden = false;
