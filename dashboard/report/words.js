// Figures on axes and under the cursor.

const FINE = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 });
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 });

/** A number on an axis that begins at 0. */
export const short = (value) => COMPACT.format(value);

/** A time, in the unit that fits. */
export function time(ms) {
  if (ms >= 1000) return `${FINE.format(ms / 1000)} s`;
  return ms < 1 ? `${FINE.format(ms * 1000)} µs` : `${FINE.format(ms)} ms`;
}

/** A time on an axis that begins at 0: one unit, or 500 µs would stand below 1 ms. */
export const linearTime = (ms) => (ms === 0 ? '0' : `${FINE.format(ms)} ms`);

export const count = (value) => (value < 1e4 ? FINE : COMPACT).format(value);

/** A share from 0 to 1. */
export const percent = (share) => `${FINE.format(100 * share)} %`;

/** Such as `p99.9`, of what lies beyond a share of 10^-exponent. */
export const percentile = (exponent) => `p${Number((100 * (1 - 10 ** -exponent)).toFixed(3))}`;
