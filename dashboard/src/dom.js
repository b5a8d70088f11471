// The little that this page needs of a library for the DOM. Text is always text, never markup.

export const find = (selector, within = document) => within.querySelector(selector);

/** An element with properties and children. */
export function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Shows `text`, or hides the element if there is none. */
export function say(target, text) {
  target.textContent = text;
  target.hidden = !text;
}

/** Fills a select or datalist with `[value, label]` pairs. One that is open is left alone if nothing changed. */
export function choices(target, pairs, chosen) {
  if (chosen && !pairs.some(([value]) => value === chosen)) pairs = [...pairs, [chosen, chosen]];
  const signature = JSON.stringify(pairs);
  if (target.dataset.filled !== signature) {
    target.dataset.filled = signature;
    target.replaceChildren(...pairs.map(([value, label]) => element('option', { value, textContent: label })));
  }
  if (chosen !== undefined) target.value = chosen;
}
