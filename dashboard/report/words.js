// Figures on axes and under the cursor.

const digits = (most) => new Intl.NumberFormat('en-US', { maximumSignificantDigits: most });
const [TICK, FINE, COMPACT] = [
  digits(2),
  digits(3),
  new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 }),
];

/** A number on an axis that begins at 0. */
export const short = (value) => COMPACT.format(value);

const time = (format) => (ms) => {
  if (ms >= 1000) return `${format.format(ms / 1000)} s`;
  return ms < 1 ? `${format.format(ms * 1000)} µs` : `${format.format(ms)} ms`;
};

/** A time on an axis, and one that is read off. */
export const tickTime = time(TICK);
export const fineTime = time(FINE);

/** A time on an axis that begins at 0: one unit, or 500 µs would stand below 1 ms. */
export const linearTime = (ms) => (ms === 0 ? '0' : `${FINE.format(ms)} ms`);

export const count = (value) => (value < 1e4 ? FINE : COMPACT).format(value);

/** A share from 0 to 1. */
export const percent = (share) => `${FINE.format(100 * share)} %`;

/** Such as `p99.9`, of what lies beyond a share of 10^-exponent. */
export const percentile = (exponent) => `p${Number((100 * (1 - 10 ** -exponent)).toFixed(3))}`;
