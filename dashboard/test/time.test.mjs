// What the page knows of time, without a browser.
import assert from 'node:assert/strict';
import test from 'node:test';

import { interval, range, read, write } from '../src/state.js';
import { bucketInWords, inWords, tickLabels, ticks, toInstant, toWall } from '../src/time.js';

const BERLIN = 'Europe/Berlin';

test('wall times become instants and come back, across changes of clocks', () => {
  assert.equal(toInstant('2013-01-01', 'America/New_York'), Date.parse('2013-01-01T05:00Z'));
  assert.equal(toInstant('2013-01-01T10:30', 'Asia/Kolkata'), Date.parse('2013-01-01T05:00Z'));
  assert.equal(toInstant('2013-01-01T00:00:00-05:00', BERLIN), Date.parse('2013-01-01T05:00Z'));
  for (const wall of [
    '2024-03-31T01:00',
    '2024-03-31T03:00',
    '2024-03-31T04:00',
    '2024-10-27T01:00',
    '2024-10-27T03:00',
  ]) {
    assert.equal(toWall(toInstant(wall, BERLIN), BERLIN), wall);
  }
  assert.ok(Number.isNaN(toInstant('yesterday', 'UTC')));
  assert.equal(
    toInstant('2013-01-01', 'Nowhere/Land'),
    Date.parse('2013-01-01T00:00Z'),
    'the server says that it is unknown',
  );
});

test('instants and buckets in words', () => {
  assert.equal(inWords(Date.parse('2013-01-01T05:00Z'), 'America/New_York'), 'Jan 1, 2013, 00:00');
  assert.equal(bucketInWords('2013-01-02T06:00:00-05:00', 'hour'), 'Wed, Jan 2, 2013, 06:00');
  assert.equal(bucketInWords('2013-01-07T00:00:00Z', 'week'), 'Week of Jan 7, 2013');
  assert.equal(bucketInWords('2013-01-01T00:00:00Z', 'month'), 'January 2013');
});

const hours = (from, count) =>
  Array.from({ length: count }, (_, i) => new Date(Date.parse(from) + i * 3_600_000).toISOString().replace('.000', ''));

test('ticks fit and stand at round times', () => {
  const day = hours('2013-01-01T15:00:00Z', 24);
  assert.deepEqual(tickLabels(day, ticks(day, 5), 'hour'), ['18:00\nJan 1, 2013', 'Jan 2', '06:00', '12:00']);
  const week = hours('2013-01-01T15:00:00Z', 24 * 7);
  assert.deepEqual(
    ticks(week, 8).map((i) => week[i].slice(5, 13)),
    ['01-02T00', '01-03T00', '01-04T00', '01-05T00', '01-06T00', '01-07T00', '01-08T00'],
  );
  const year = hours('2012-06-15T00:00:00Z', 24 * 400).filter((time) => time.includes('T00'));
  assert.deepEqual(tickLabels(year, ticks(year, 7), 'day'), [
    'Jul 1\n2012',
    'Sep 1',
    'Nov 1',
    'Jan 1\n2013',
    'Mar 1',
    'May 1',
    'Jul 1',
  ]);
  for (const count of [1, 2, 23, 100, 5000]) {
    const found = ticks(hours('2013-01-01T15:00:00Z', count), 4);
    assert.ok(found.length >= 1 && found.length <= 4, `${count}: ${found}`);
  }
});

test('the fragment tells the whole state', () => {
  const fragment = '#interval=hour&tz=America/New_York&eventType=a%26b&metric=p95:depDelay&groupBy=carrier';
  assert.equal(write(read(fragment)), fragment);
  const custom = read('#from=2013-01-01&to=2013-02-02&tz=UTC');
  assert.equal(write(custom), '#from=2013-01-01&to=2013-02-02&tz=UTC');
  assert.deepEqual(range(custom), [Date.parse('2013-01-01'), Date.parse('2013-02-02')]);
  assert.equal(interval(custom), 'day');
  assert.equal(read('#range=nonsense').range, '7d');
  assert.ok(read('').tz);
});
