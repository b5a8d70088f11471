// The page: the state in the URL decides what is asked, the answers what is shown; controls only change the URL.
import { Failure, allPages, hasKey, report, setKey } from './api.js';
import { choices, element, find, say } from './dom.js';
import { clearSummary, hideTop, showSummary, showTop } from './panels.js';
import { hide as hideSeries, show as showSeries } from './series.js';
import { interval, range, read, write } from './state.js';
import { inWords, toInstant, toWall } from './time.js';
import { bound, caveats, metricName, number, splitMetric } from './words.js';

const REFRESH = 10_000;
/** How long an answer may take before the page says that it is waiting. */
const PATIENCE = 300;

const control = (id) => find(`#${id}`);
const custom = control('custom');
const main = find('main');
const problem = control('problem');
const keyForm = control('key');

let state = read(location.hash);
/** What the last summary said there is to choose from. */
let known = { dimensions: [], numbers: [], eventTypes: [] };
let loading;
let timer;
/** The last time zone that the server did not know. */
let unknownZone = '';

const iso = (instant) => new Date(instant).toISOString();

/** Another state: the URL changes, and with it the page. */
function change(part) {
  // Another change may come before the event of this one.
  state = { ...state, ...part };
  const fragment = write(state);
  if (fragment === location.hash) load(true);
  else location.hash = fragment;
}

/** Controls as the state has them. */
function showControls() {
  const [metric, property] = splitMetric(state.metric);
  const zones = Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC');
  choices(
    control('tz'),
    ['UTC', ...zones].map((zone) => [zone, zone]),
    state.tz,
  );
  for (const [id, chosen] of Object.entries({ metric, interval: state.interval, limit: state.limit })) {
    choices(
      control(id),
      [...control(id).options].map(({ value, label }) => [value, label]),
      chosen,
    );
  }
  control('property').value = property;
  control('of').hidden = !property;
  control('live').checked = state.live !== '';
  say(control('zone'), unknownZone && `The server does not know the time zone ${unknownZone}: all times are in UTC.`);
  find(`[name=range][value="${state.range}"]`).checked = true;
  custom.hidden = state.range !== 'custom';
  const [from, to] = range(state);
  if (from < to) {
    control('from').value = toWall(from, state.tz);
    control('to').value = toWall(to, state.tz);
  }
  showChoices();
}

/** The controls whose choices come from the data. */
function showChoices() {
  const same = (values) => values.map((value) => [value, value]);
  choices(control('eventType'), [['', 'All'], ...same(known.eventTypes)], state.eventType);
  const dimensions = [...same(known.dimensions), ['eventType', 'Event type']];
  choices(control('groupBy'), [['', 'Nothing'], ...dimensions], state.groupBy);
  choices(control('dimension'), dimensions, state.dimension || dimensions[0][0]);
  choices(control('numbers'), same(known.numbers));
}

/** What qualifies a panel's figures: how exact they are, and until when events are in. */
function qualify(panel, reply, metrics, more = []) {
  const bounds = metrics
    .map((metric) => [metricName(metric), bound(reply.accuracy, metric)])
    .filter(([, words]) => words);
  const asOf = reply.asOf ? `As of ${inWords(Date.parse(reply.asOf), state.tz)}` : '';
  const parts = [bounds.map((pair) => pair.join(': ')).join('; '), ...more, asOf, ...caveats(reply.accuracy)];
  find('.note', panel).textContent = parts
    .filter(Boolean)
    .map((part) => part.replace(/\.?$/, '.'))
    .join(' ');
}

/** Which of the buckets the range covers only in part. */
function partial(reply) {
  const first = reply.rows[0]?.time;
  const unit = reply.interval;
  if (!first) return '';
  const wall = toWall(Date.parse(reply.to), state.tz);
  const weekday = new Date(`${wall}Z`).getUTCDay();
  const midnight = wall.endsWith('T00:00');
  const whole = {
    hour: true,
    day: midnight,
    week: midnight && weekday === 1,
    month: midnight && wall.slice(8, 10) === '01',
  };
  const last = !whole[unit] || Date.parse(reply.to) > Date.now();
  const cut = [Date.parse(first) < Date.parse(reply.from) && 'first', last && 'last'].filter(Boolean);
  return cut.length > 0 && `The ${cut.join(' and the ')} ${unit} ${cut.length > 1 ? 'are' : 'is'} partial`;
}

const HEADINGS = {
  0: 'The server cannot be reached',
  200: 'The answer is not understood',
  400: 'The server cannot answer this',
  401: 'A key is needed',
  403: 'This key may not read reports',
  422: 'The server cannot answer this',
  429: 'Too many requests',
  503: 'The server is not ready',
};

/** The failures of one load, each message once. */
function showFailures(failures) {
  const first = failures[0];
  keyForm.hidden = ![401, 403].includes(first.status);
  const texts = new Map(failures.map(({ message, requestId }) => [message, requestId]));
  const heading = HEADINGS[first.status] ?? `The server answered ${first.status}`;
  // The same again is not announced again.
  const signature = [heading, ...texts.keys()].join();
  if (!problem.hidden && problem.dataset.shown === signature) return;
  problem.dataset.shown = signature;
  const button = element('button', { className: 'primary', textContent: 'Retry', onclick: () => load(true) });
  problem.replaceChildren(
    element('h2', { textContent: heading }),
    ...[...texts].map(([message, id]) => element('p', { textContent: message, title: id ? `Request ${id}` : '' })),
    ...(first.status === 401 ? [] : [button]),
  );
  problem.hidden = false;
}

/** Asks for all reports, and shows each as it comes. `asked`: by someone, who is then told how it went. */
async function load(asked) {
  clearTimeout(timer);
  loading?.abort();
  const mine = (loading = new AbortController());
  main.ariaBusy = 'true';
  const waiting = new Set(['summary', 'series', 'top']);
  const slow = setTimeout(() => {
    for (const id of asked ? waiting : []) {
      // A panel without figures says so in their place.
      if (!find('.empty:not([hidden])', control(id))) find('.note', control(id)).textContent = 'Loading…';
    }
  }, PATIENCE);
  mine.signal.addEventListener('abort', () => clearTimeout(slow));
  const { tz, eventType, metric, groupBy } = state;
  const metrics = [...new Set(['count', 'users', metric])];
  const failures = [];

  /** Shows one report in its panel, or that it failed, unless nobody waits for it any more. */
  const panel = async (id, asking, shown, failed) => {
    try {
      const reply = await asking;
      if (loading !== mine) return undefined;
      waiting.delete(id);
      shown(reply);
      return reply;
    } catch (error) {
      if (loading !== mine) return undefined;
      waiting.delete(id);
      // What is not a failure is an answer that this page does not understand.
      failures.push(error instanceof Failure ? error : new Failure(200, String(error)));
      find('.note', control(id)).textContent = '';
      failed('Not available.');
      return undefined;
    }
  };

  const [from, to] = range(state);
  if (Number.isNaN(from) || Number.isNaN(to)) {
    failures.push(new Failure(400, 'The range in this link is no date.'));
    clearSummary();
    hideSeries('Not available.');
    hideTop('Not available.');
  } else {
    const parameters = { from: iso(from), to: iso(to), tz, ...(eventType && { eventType }) };
    const summary = panel(
      'summary',
      report('summary', { ...parameters, metrics }, mine.signal),
      (reply) => {
        // A filter hides the other types from the summary; they stay to choose from.
        const eventTypes = [...new Set([...(eventType ? known.eventTypes : []), ...(reply.eventTypes ?? [])])].sort();
        known = { dimensions: reply.dimensions ?? [], numbers: reply.numbers ?? [], eventTypes };
        showChoices();
        showSummary(reply, metrics);
        const span = [reply.from, reply.to].map((time) => inWords(Date.parse(time), tz)).join(' – ');
        const none =
          reply.rows[0]?.count === 0 && `There are no events${eventType && ` of type ${eventType}`}: try another range`;
        qualify(control('summary'), reply, [], [`${span}, ${tz}`, none]);
      },
      clearSummary,
    );
    const series = panel(
      'series',
      allPages(
        'timeseries',
        {
          ...parameters,
          interval: interval(state),
          metrics: [...new Set(['count', metric])],
          ...(groupBy && { groupBy }),
        },
        mine.signal,
      ),
      (reply) => {
        const cut = showSeries(reply, metric, (first, last) =>
          change({ from: first, to: last ?? reply.to, range: 'custom', interval: '' }),
        );
        control('series-h').textContent = `${metricName(metric)} by ${reply.interval}`;
        qualify(control('series'), reply, [metric], [partial(reply), ...cut]);
      },
      hideSeries,
    );
    const ranked = async () => {
      // Which dimension is the first, the summary tells.
      const dimension = state.dimension || (await summary.then(() => known.dimensions[0])) || 'eventType';
      const reply = await report('top', { ...parameters, dimension, metrics, limit: state.limit }, mine.signal);
      return { ...reply, dimension };
    };
    const top = panel(
      'top',
      ranked(),
      (reply) => {
        showTop(reply, metrics, reply.dimension);
        qualify(control('top'), reply, metrics);
      },
      hideTop,
    );
    await Promise.all([summary, series, top]);
    if (loading !== mine) return;
    if (asked && failures.length === 0) {
      control('status').textContent =
        `${number((await summary)?.rows[0]?.count)} events. ${metricName(metric)} by ${interval(state)}.`;
    }
  }

  clearTimeout(slow);
  if (failures.some((failure) => isUnknownZone(failure, tz))) return inUtc();
  main.ariaBusy = 'false';
  control('forget').hidden = !hasKey();
  if (failures.length > 0) {
    showFailures(failures);
    if (asked && failures[0].status === 401) control('secret').focus();
  } else problem.hidden = keyForm.hidden = true;
  schedule();
}

/** Whether the server refused the time zone. A browser may be in one that the server has no rules of, such as Etc/Unknown. */
const isUnknownZone = ({ status, message }, tz) => status === 400 && tz !== 'UTC' && message.startsWith('tz ');

/** Shows the same in UTC, and says so: figures in another zone than the one asked for must not pass for it. */
function inUtc() {
  unknownZone = state.tz;
  state = { ...state, tz: 'UTC' };
  history.replaceState(null, '', write(state));
  apply();
}

function schedule() {
  clearTimeout(timer);
  // Without a key that is taken there is nothing to ask for again.
  if (state.live && keyForm.hidden) timer = setTimeout(() => (document.hidden ? schedule() : load(false)), REFRESH);
}

function apply() {
  state = read(location.hash);
  if (state.tz !== 'UTC') unknownZone = '';
  showControls();
  load(true);
}

for (const id of ['interval', 'tz', 'groupBy', 'eventType', 'dimension', 'limit']) {
  control(id).onchange = ({ target }) => change({ [id]: target.value });
}
for (const radio of document.querySelectorAll('[name=range]')) {
  // A custom range is only taken when it is applied.
  radio.onchange = () =>
    radio.value === 'custom' ? (custom.hidden = false) : change({ range: radio.value, from: '', to: '' });
}
control('metric').onchange = ({ target: { value } }) => {
  if (value === 'count' || value === 'users') return change({ metric: value });
  const property = control('property').value || known.numbers[0];
  control('of').hidden = false;
  return property ? change({ metric: `${value}:${property}` }) : control('property').focus();
};
control('property').onchange = ({ target: { value } }) =>
  value && change({ metric: `${control('metric').value}:${value}` });
custom.onsubmit = (event) => {
  event.preventDefault();
  change({ range: 'custom', from: control('from').value, to: control('to').value });
};
control('live').onchange = ({ target }) => change({ live: target.checked ? '1' : '' });
control('refresh').onclick = () => load(true);
control('forget').onclick = () => {
  setKey('');
  load(true);
};
keyForm.onsubmit = (event) => {
  event.preventDefault();
  setKey(control('secret').value);
  control('secret').value = '';
  load(true);
};
addEventListener('hashchange', apply);

clearSummary();
hideSeries('Loading…');
hideTop('Loading…');
// The link says which zone it is in from the start.
history.replaceState(null, '', write(state));
apply();
