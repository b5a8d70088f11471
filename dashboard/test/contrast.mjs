// Whether text can be read: WCAG's contrast.

const KINDS = 'h1,h2,.note,label,legend,dt,.figure,li *,td,th,button,.when,.segments span';

/** The least contrast of text on its ground, among elements of `kinds`. */
export const contrast = (page, kinds = KINDS) =>
  page.evaluate((wanted) => {
    const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => {
      const [lr, lg, lb] = [r, g, b].map((part) => linear(part / 255));
      return 0.2126 * lr + 0.7152 * lg + 0.0722 * lb;
    };
    /** What is behind an element: its own ground over its parent's. */
    const ground = (part) => {
      const [r, g, b, alpha = 1] = parts(getComputedStyle(part).backgroundColor);
      if (alpha === 1) return [r, g, b];
      const below = part.parentElement ? ground(part.parentElement) : [255, 255, 255];
      return [r, g, b].map((own, i) => own * alpha + below[i] * (1 - alpha));
    };
    const written = [...document.querySelectorAll(wanted)].filter((part) => part.checkVisibility() && part.innerText);
    const ratio = (part) => {
      const [a, b] = [light(parts(getComputedStyle(part).color)), light(ground(part))];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    return Math.min(...written.map(ratio));
  }, kinds);
