// What tells series apart: colour, dash and order, never colour alone.

const KNOWN = { lambda: 1, workers: 3, spin: 2, native: 0 };
const FREE = [7, 5, 4, 6];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];

/** The looks of names: platforms have the same everywhere; a name that begins with a platform's has its colour. */
export function looks(names) {
  const seen = new Map();
  let free = 0;
  return names.map((name) => {
    const base = name.toLowerCase().split(/[^a-z]/)[0];
    const place = KNOWN[base] ?? FREE[free++ % FREE.length];
    const times = seen.get(place) ?? 0;
    seen.set(place, times + 1);
    const dash = times === 0 ? DASHES[(KNOWN[base] ?? 4) % 4] : DASHES[(times + (KNOWN[base] ?? 0)) % 4];
    return { variable: `--c${place}`, dash };
  });
}
