// What the page shows, and nothing else: it is the URL's fragment, so a link reproduces the view.
import { toInstant } from './time.js';

const HOUR = 3_600_000;
const HOURS = { '24h': 24, '7d': 7 * 24, '30d': 30 * 24 };

/** Named as the parameters of the reports are, where they are such. `from` and `to` only in a custom range. */
const DEFAULTS = {
  range: '7d',
  from: '',
  to: '',
  interval: '',
  tz: '',
  eventType: '',
  metric: 'count',
  groupBy: '',
  dimension: '',
  limit: '10',
  live: '',
};

const browserZone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

/** The state that a URL's fragment tells. */
export function read(fragment) {
  const given = new URLSearchParams(fragment.slice(1));
  const state = {};
  for (const name in DEFAULTS) state[name] = given.get(name) || DEFAULTS[name];
  state.tz ||= browserZone;
  if (state.from && state.to) state.range = 'custom';
  else if (!(state.range in HOURS)) state.range = DEFAULTS.range;
  return state;
}

/** The fragment that tells the state. The time zone is always in it: another browser has another. */
export function write(state) {
  const custom = state.range === 'custom';
  const told = new URLSearchParams();
  for (const name in DEFAULTS) {
    const hidden = name === 'range' ? custom : (name === 'from' || name === 'to') && !custom;
    if (state[name] !== DEFAULTS[name] && !hidden) told.set(name, state[name]);
  }
  return `#${String(told).replace(/%3A/g, ':').replace(/%2F/g, '/')}`;
}

/** The instants of the range. */
export function range(state) {
  if (state.range === 'custom') return [toInstant(state.from, state.tz), toInstant(state.to, state.tz)];
  const now = Date.now();
  return [now - HOURS[state.range] * HOUR, now];
}

/** The interval, or what gives about a hundred points. */
export function interval(state) {
  if (state.interval) return state.interval;
  const [from, to] = range(state);
  const days = (to - from) / HOUR / 24;
  return days <= 8 ? 'hour' : days <= 120 ? 'day' : 'week';
}
