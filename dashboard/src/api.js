// Requests of reports, and what can go wrong with them.

const SLOT = 'isotherm.key';
const TIMEOUT = 30_000;
const PAGES = 3;
const PAGE = 10_000;

let key = '';
try {
  key = sessionStorage.getItem(SLOT) ?? '';
} catch {
  // Storage may be blocked. The key then lasts as long as the page.
}

export const hasKey = () => key !== '';

export function setKey(value) {
  key = value;
  try {
    if (value) sessionStorage.setItem(SLOT, value);
    else sessionStorage.removeItem(SLOT);
  } catch {
    // As above.
  }
}

/** A request that was not answered with a report. Status 0: not answered at all. */
export class Failure extends Error {
  constructor(status, message, requestId) {
    super(message);
    this.status = status;
    this.requestId = requestId;
  }
}

/** One report. The path is relative, so the page also works below a prefix. */
export async function report(name, parameters, signal) {
  const limit = AbortSignal.timeout(TIMEOUT);
  const gone = new AbortController();
  for (const cause of [signal, limit]) {
    if (cause.aborted) gone.abort();
    cause.addEventListener('abort', () => gone.abort());
  }
  let response;
  let text;
  try {
    response = await fetch(`reports/${name}?${new URLSearchParams(parameters)}`, {
      headers: key ? { authorization: `Bearer ${key}` } : {},
      // Without credentials a 401 opens no log-in dialogue of the browser, which would want Basic ones.
      credentials: 'omit',
      cache: 'no-store',
      signal: gone.signal,
    });
    text = await response.text();
  } catch {
    throw new Failure(0, limit.aborted ? 'There was no answer within 30 seconds.' : 'There was no connection.');
  }
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy's page, perhaps; its status says enough.
  }
  if (response.ok && body?.rows) return body;
  throw new Failure(response.status, body?.message ?? 'The answer is not a report.', body?.requestId);
}

/** All pages of a report, up to a limit: if there are more, `next` is not null, and the last time is left out. */
export async function allPages(name, parameters, signal) {
  const rows = [];
  let page;
  for (let count = 0; count < PAGES && (!page || page.next); count++) {
    const more = page ? { cursor: page.next } : {};
    page = await report(name, { ...parameters, limit: PAGE, ...more }, signal);
    rows.push(...page.rows);
  }
  const last = rows.at(-1)?.time;
  return { ...page, rows: page.next ? rows.filter((row) => row.time !== last) : rows };
}
