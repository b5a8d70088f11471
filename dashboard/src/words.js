// Figures and what qualifies them, in words.

const WHOLE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const FINE = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 4 });
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 });
const PERCENT = new Intl.NumberFormat('en-US', { style: 'percent', maximumSignificantDigits: 2 });

/** A figure of a report; a dash where there is none. */
export function number(value) {
  if (value == null) return '–';
  return Number.isInteger(value) || Math.abs(value) >= 1e4 ? WHOLE.format(value) : FINE.format(value);
}

/** A figure on an axis. */
export const short = (value) => (Math.abs(value) < 1e4 ? FINE : COMPACT).format(value);

const OF = { sum: 'Sum', mean: 'Mean', p50: 'Median', p95: '95th percentile' };

/** A metric's name: count, users, or a function of a property. */
export function metricName(metric) {
  if (metric === 'count') return 'Events';
  if (metric === 'users') return 'Users';
  const [name, property] = splitMetric(metric);
  return `${OF[name] ?? name} of ${property}`;
}

/** `p95:depDelay` as its function and property. */
export function splitMetric(metric) {
  const at = metric.indexOf(':');
  return at < 0 ? [metric, ''] : [metric.slice(0, at), metric.slice(at + 1)];
}

/** How exact a metric is. */
export function bound(accuracy, metric) {
  const known = accuracy?.[metric];
  if (typeof known === 'string') return known;
  if (!known?.relative) return known ? 'exact' : '';
  const confidence = known.confidence ? `, ${PERCENT.format(known.confidence)} confidence` : '';
  return `±${PERCENT.format(known.relative)}${confidence}`;
}

/** What else the report says of its exactness. */
export function caveats(accuracy) {
  const shift = accuracy?.time?.shiftMinutes;
  return [
    accuracy?.dimension === 'capped' && 'Values beyond the cap are in “(other)”.',
    shift && `Hours are counted in UTC: intervals are shifted by ${shift} minutes.`,
  ].filter(Boolean);
}
