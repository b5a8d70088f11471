// What a page of another site includes: <script async src="https://…/i.js" data-key="pk_…"></script>
// It sends page views, and what the page tells `isotherm('event', {…})`, in the form of Segment's batches. It sets no
// cookie, asks nobody else, and does nothing where the browser says Do Not Track or Global Privacy Control.

const { currentScript: script, referrer } = document;
const url = new URL('v1/batch', script.src).href;
/** As many events as surely fit into 64 KiB, which is also what a browser sends of a page that is gone. */
const BATCH = 20;
const EVENT_BYTES = 3000;
const KEPT = 500;

const id = () => [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join('');

/** One visit has one id, for as long as its tab is open. */
const visit = () => {
  try {
    return (sessionStorage.isotherm ||= id());
  } catch {
    return id();
  }
};

/** Events wait here until the server has answered for them. */
const queue = [];
let anonymousId;
let sending;
let failures = 0;
let timer;
let path;

const body = (batch) => JSON.stringify({ writeKey: script.dataset.key, sentAt: new Date(), batch });

const flushIn = (ms) => {
  clearTimeout(timer);
  timer = setTimeout(flush, ms);
};

async function flush() {
  if (sending || !queue.length) return;
  sending = true;
  const batch = queue.slice(0, BATCH);
  let wait;
  try {
    // A text is sent as text/plain, which needs no preflight.
    const { status, headers } = await fetch(url, { method: 'POST', body: body(batch), keepalive: true });
    if (status === 429 || status >= 500) wait = headers.get('retry-after') * 1000 || 1;
  } catch {
    wait = 1;
  }
  sending = false;
  if (wait) {
    flushIn(Math.max(wait, 1000 * 2 ** Math.min(failures++, 6)));
  } else {
    failures = 0;
    queue.splice(0, queue.length, ...queue.filter((event) => !batch.includes(event)));
    flushIn(0);
  }
}

function add(type, event, properties) {
  const message = { type, event, anonymousId, messageId: id(), timestamp: new Date(), properties };
  if (queue.length >= KEPT || new Blob([JSON.stringify(message)]).size > EVENT_BYTES) return;
  queue.push(message);
  if (!failures) flushIn(queue.length < BATCH ? 1000 : 0);
}

function view() {
  const { pathname, search, host } = location;
  if (pathname === path) return;
  const properties = { path: pathname, screen: innerWidth < 600 ? 'small' : innerWidth < 1100 ? 'medium' : 'large' };
  const from = path === undefined && referrer && new URL(referrer).host;
  if (from && from !== host) properties.referrer = from;
  for (const [name, value] of new URLSearchParams(search)) {
    if (name.startsWith('utm_')) properties[name] = value.slice(0, 200);
  }
  path = pathname;
  add('page', undefined, properties);
}

const waiting = window.isotherm?.q ?? [];
if (navigator.doNotTrack === '1' || navigator.globalPrivacyControl) {
  window.isotherm = () => {};
} else {
  anonymousId = visit();
  window.isotherm = (event, properties) => add('track', event, properties);
  view();
  for (const call of waiting) window.isotherm(...call);
  for (const name of ['pushState', 'replaceState']) {
    const changes = history[name];
    history[name] = function (...state) {
      changes.apply(this, state);
      view();
    };
  }
  addEventListener('popstate', view);
  addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && flush());
  // The page may be gone before an answer comes. What arrives twice counts once.
  addEventListener('pagehide', () => {
    for (let at = 0; at < queue.length; at += BATCH) navigator.sendBeacon(url, body(queue.slice(at, at + BATCH)));
  });
}
