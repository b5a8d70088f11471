// The panels beside the chart: the range in figures, and the top values of a dimension.
import { element, find, say } from './dom.js';
import { bucketInWords } from './time.js';
import { bound, metricName, number } from './words.js';

const tiles = find('#summary .tiles');
const top = find('#top');
const list = find('.scroll', top);
const empty = find('.empty', top);
const BUSIEST = 3;

function tile(name, figure, note) {
  return element(
    'div',
    { className: 'box' },
    element('dt', { textContent: name }),
    element('dd', {}, ...figure),
    ...(note ? [element('dd', { className: 'note', textContent: note })] : []),
  );
}

/** The summary's figures. */
export function showSummary(reply, metrics) {
  const row = reply.rows[0] ?? {};
  const busiest = (reply.busiestHours ?? [])
    .slice(0, BUSIEST)
    .map(({ time, count }) =>
      element(
        'li',
        {},
        element('span', { textContent: bucketInWords(time, 'hour') }),
        ' ',
        element('b', { textContent: number(count) }),
      ),
    );
  tiles.replaceChildren(
    ...metrics.map((metric) => {
      const figure = element('b', { className: 'figure', textContent: number(row[metric]) });
      figure.dataset.metric = metric;
      return tile(metricName(metric), [figure], bound(reply.accuracy, metric));
    }),
    tile('Busiest hours', busiest.length > 0 ? [element('ol', {}, ...busiest)] : [number(null)]),
  );
}

/** Tiles without figures: while they are on their way, or where they are not to be had. */
export function clearSummary() {
  showSummary({ rows: [] }, ['count', 'users']);
}

/** The top values, as a table with a bar for the events of each. */
export function showTop(reply, metrics, dimension) {
  const none = reply.rows.length === 0;
  const name = dimension === 'eventType' ? 'Event type' : dimension;
  say(empty, none ? `No events${dimension === 'eventType' ? '' : ` with ${dimension}`} in this range.` : '');
  list.hidden = none;
  if (none) return;
  const most = Math.max(...reply.rows.map((row) => row.count));
  const column = (metric) => (metric.includes(':') ? metric.replace(':', ' ') : metricName(metric));
  const head = [name, ...metrics.map(column)];
  const body = reply.rows.map((row) => {
    const bar = element('i', { className: 'bar' });
    bar.style.width = `${(100 * row.count) / most}%`;
    const value = element('th', { scope: 'row' }, element('span', { textContent: row.value }), bar);
    const cells = metrics.map((metric) => element('td', { textContent: number(row[metric]) }));
    return element('tr', {}, value, ...cells);
  });
  list.replaceChildren(
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element('tr', {}, ...head.map((text) => element('th', { scope: 'col', textContent: text }))),
      ),
      element('tbody', {}, ...body),
    ),
  );
}

/** Shows nothing but `text`. */
export function hideTop(text) {
  list.hidden = true;
  say(empty, text);
}
