// What the charts draw, from the result as it is embedded: pure functions, tested without a browser.

/** The name of a platform or a design as the page's text has it. */
export const title = (name) =>
  name.replace(/^(lambda|workers|spin)/, (first) => first[0].toUpperCase() + first.slice(1));

/** `get(platform, 'cold.init')` */
const get = (from, path) => path.split('.').reduce((part, name) => part[name], from);

const sorted = (values) => [...values].sort((a, b) => a - b);

/** The least of `sorted` at or below which a share of them lies: R's type 7, as the figures' quantiles are. */
export function quantile(values, share) {
  const place = share * (values.length - 1);
  const below = Math.floor(place);
  return values[below] + (place - below) * ((values[below + 1] ?? values[below]) - values[below]);
}

/** Each platform's share of samples within each time, all over the same times, as uPlot wants it; and the figures with their intervals. */
export function ecdf(platforms, path) {
  const samples = platforms.map((platform) => sorted(get(platform, path).samples));
  const times = [...new Set(samples.flat())].sort((a, b) => a - b);
  const x = [times[0] * 0.9, ...times, times.at(-1) * 1.1];
  const series = platforms.map((platform, place) => {
    const own = samples[place];
    let within = 0;
    const y = x.map((time) => {
      while (within < own.length && own[within] <= time) within++;
      return within / own.length;
    });
    return { name: platform.platform, y, marks: marks(get(platform, path), [0.5, 0.9], (share) => share) };
  });
  return { x, series };
}

/** The quantiles that have intervals, each `at` its share. */
const marks = (distribution, shares, at) =>
  shares.map((share) => ({ at: at(share), ...distribution[`p${100 * share}`] }));

/** What percentile charts count by: nines. p0 is 0, p90 is 1, p99 is 2. */
export const nines = (share) => -Math.log10(1 - share);

/** Times by percentile, as far as there are ten samples beyond, but always to p99; and the figures with their intervals. */
export function percentiles(platforms, path) {
  const least = Math.min(...platforms.map((platform) => get(platform, path).n));
  const last = Math.max(2, Math.floor(10 * Math.log10(least / 10)) / 10);
  const x = Array.from({ length: 201 }, (_, i) => (i * last) / 200);
  const series = platforms.map((platform) => {
    const own = get(platform, path);
    const samples = sorted(own.samples);
    return {
      name: platform.platform,
      y: x.map((n) => quantile(samples, 1 - 10 ** -n)),
      marks: marks(own, [0.5, 0.9, 0.99], nines),
    };
  });
  return { x, series };
}

const FIGURES = {
  requests_per_second: 'throughput.requests_per_second',
  events_per_second: 'throughput.events_per_second',
  cpu_ms_per_request: 'cpu.ms_per_request',
};

/** One figure of each platform. */
export const bars = (platforms, figure) =>
  platforms.map((platform) => ({ name: platform.platform, ...get(platform, FIGURES[figure]) }));

/** As many layers as there are colours that can be told apart. */
const LAYERS = 8;

/**
 * Costs by service, each stacked on those before it: `tops[i]` is where service i ends, `totals` have intervals. Services
 * beyond the layers, the least of them, are one: the last.
 */
export function stack(lines) {
  const all = [...new Set(lines.flatMap((line) => line.items.map((item) => item.service)))];
  const usd = (line, of) =>
    line.items.filter(({ service }) => of.includes(service)).reduce((sum, item) => sum + item.usd, 0);
  const largest = (service) => Math.max(...lines.map((line) => usd(line, [service])));
  const bySize = all.toSorted((one, other) => largest(other) - largest(one));
  const rest = all.length > LAYERS ? bySize.slice(LAYERS - 1) : [];
  const layers = all.filter((service) => !rest.includes(service)).map((service) => [service]);
  if (rest.length > 0) layers.push(all.filter((service) => rest.includes(service)));
  const tops = [];
  for (const layer of layers) {
    tops.push(lines.map((line, i) => (tops.at(-1)?.[i] ?? 0) + usd(line, layer)));
  }
  const services = layers.map((layer) => layer.join(', '));
  return { names: lines.map((line) => line.name), services, tops, totals: lines.map((line) => line.total) };
}

/** Curves over all their x together; between its points a curve is straight on the chart's logarithmic x. */
export function curves(given) {
  const x = [...new Set(given.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b);
  const value = (points, at) => {
    const after = points.findIndex(([x]) => x >= at);
    if (after < 0) return null;
    const [x1, y1] = points[after];
    if (x1 === at) return y1;
    if (after === 0) return null;
    const [x0, y0] = points[after - 1];
    return y0 + ((y1 - y0) * Math.log(at / x0)) / Math.log(x1 / x0);
  };
  return { x, series: given.map(({ name, kind, points }) => ({ name, kind, y: x.map((at) => value(points, at)) })) };
}
