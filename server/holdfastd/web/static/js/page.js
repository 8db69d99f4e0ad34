// Looking at the page, and being told when htmx changed it.

export const one = (selector, root = document) => root.querySelector(selector);
export const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Call `work(root)` for the whole page now, and for it again after every swap. */
export function onContent(work) {
  work(document);
  document.addEventListener("htmx:after:swap", () => work(document));
}
