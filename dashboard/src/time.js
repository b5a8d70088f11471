// Instants are milliseconds since 1970. A wall time is text as clocks in a time zone show it: 2013-01-01T00:00.

const MINUTE = 60_000;

/** How far clocks in `tz` are ahead of UTC at `instant`. An unknown zone counts as UTC: the server refuses it by name. */
function offset(instant, tz) {
  try {
    // Swedish is written as ISO 8601 is: 2013-01-01 00:00:00.
    const shown = new Date(instant).toLocaleString('sv', { timeZone: tz });
    return Math.round((Date.parse(`${shown.replace(' ', 'T')}Z`) - instant) / MINUTE) * MINUTE;
  } catch {
    return 0;
  }
}

/** The wall time in `tz`, to the minute. */
export function toWall(instant, tz) {
  return new Date(instant + offset(instant, tz)).toISOString().slice(0, 16);
}

/** The instant of a date, a wall time in `tz`, or RFC 3339, which knows its own offset. NaN if it is none of these. */
export function toInstant(text, tz) {
  if (/(Z|[+-]\d\d:\d\d)$/i.test(text)) return Date.parse(text);
  const asUtc = Date.parse(text.length > 10 ? `${text}Z` : text);
  // The offset at the wrong instant may lie across a change of clocks: ask again where it leads.
  return asUtc - offset(asUtc - offset(asUtc, tz), tz);
}

const format = (options) => new Intl.DateTimeFormat('en-US', { timeZone: 'UTC', ...options });
const DAY = format({ weekday: 'short', year: 'numeric', month: 'short', day: 'numeric' });
const DATE = format({ year: 'numeric', month: 'short', day: 'numeric' });
const MONTH = format({ year: 'numeric', month: 'long' });
const TICK = format({ month: 'short', day: 'numeric' });
const TICK_MONTH = format({ month: 'short' });

/** The wall time as a Date whose UTC fields are the wall's. */
const fields = (time) => new Date(`${time.slice(0, 16)}Z`);
const clock = (time) => time.slice(11, 16);

/** An instant in words: Jan 1, 2013, 00:00. */
export function inWords(instant, tz) {
  const wall = toWall(instant, tz);
  return `${DATE.format(fields(wall))}, ${clock(wall)}`;
}

/** The bucket that begins at `time`, RFC 3339 with its zone's offset, in words. */
export function bucketInWords(time, interval) {
  if (interval === 'month') return MONTH.format(fields(time));
  if (interval === 'week') return `Week of ${DATE.format(fields(time))}`;
  const day = DAY.format(fields(time));
  return interval === 'hour' ? `${day}, ${clock(time)}` : day;
}

/** Which of the buckets get a label, at most `most`: round hours, then days, then months. */
export function ticks(times, most) {
  const all = times.map((_, index) => index);
  const first = (length) => all.filter((i) => i === 0 || times[i].slice(0, length) !== times[i - 1].slice(0, length));
  const days = first(10).filter((i) => i > 0 || clock(times[0]) === '00:00' || times.length < 24);
  const months = first(7).filter((i) => i > 0 || times[0].slice(8, 10) === '01');
  const every = (list, step) => list.filter((_, place) => place % step === 0);
  const candidates = [
    all,
    ...[2, 3, 6, 12].map((step) => all.filter((i) => Number(times[i].slice(11, 13)) % step === 0)),
    ...[1, 2, 4, 7, 14].map((step) => every(days, step)),
    ...[1, 2, 3, 6, 12].map((step) => every(months, step)),
  ];
  return candidates.find((list) => list.length > 0 && list.length <= most) ?? [0];
}

/** The labels of `ticks`, the year or the date on a second line where it begins. */
export function tickLabels(times, indexes, interval) {
  return indexes.map((i, place) => {
    const time = times[i];
    const before = place > 0 && times[indexes[place - 1]];
    if (interval === 'hour' && before && time.slice(0, 10) === before.slice(0, 10)) return clock(time);
    const newYear = !before || time.slice(0, 4) !== before.slice(0, 4);
    if (interval === 'hour' && clock(time) !== '00:00') {
      return `${clock(time)}\n${(newYear ? DATE : TICK).format(fields(time))}`;
    }
    const label = (interval === 'month' ? TICK_MONTH : TICK).format(fields(time));
    return newYear ? `${label}\n${time.slice(0, 4)}` : label;
  });
}
