// The keyboard: `g` and a letter goes somewhere, `/` searches, j, k, x and Enter work in tables.
import { all, one } from "./page.js";
import { toggleLive } from "./live.js";
import { nextTheme } from "./theme.js";
import { showHelp } from "./dialogs.js";

const PLACES = { o: "", j: "jobs", q: "queues", s: "schedules", w: "workers", m: "metrics-history", d: "server" };
const GO_MS = 1500;
let goUntil = 0;

// The port may be below a path of another site: the brand leads to its beginning.
const go = (place) => (location.href = one(".brand").href + place);

function search() {
  const field = one("[data-search]");
  if (field) field.focus(), field.select?.();
  else go("jobs");
}

/** Move the focus among rows: elements with data-row, which hold one link to open. */
function move(step) {
  const rows = all("[data-row]");
  const now = rows.indexOf(document.activeElement?.closest("[data-row]"));
  const next = rows[now < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, now + step))];
  one("a", next ?? document.createElement("p"))?.focus();
}

function select() {
  const box = document.activeElement?.closest("[data-row]")?.querySelector("input[type=checkbox]");
  box?.click();
}

const KEYS = {
  "/": search,
  "?": showHelp,
  r: toggleLive,
  t: nextTheme,
  j: () => move(1),
  k: () => move(-1),
  x: select,
  g: () => (goUntil = Date.now() + GO_MS),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || one("dialog[open]")) return;
  if (event.target.closest("input, select, textarea, [contenteditable]")) {
    if (event.key === "Escape") event.target.blur();
    if (event.target.type !== "checkbox") return;
  }
  if (Date.now() < goUntil && event.key in PLACES) return void go(PLACES[event.key]);
  const work = KEYS[event.key];
  if (work) {
    event.preventDefault();
    work();
  }
});
