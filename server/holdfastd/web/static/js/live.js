// The page's one stream. It is open while the page is seen and not paused; hx-sse puts what comes
// into the page, reconnects by itself, and closes the stream of a hidden tab.
import { one } from "./page.js";

const stream = one("#live");
const toggle = one("#live-toggle");
const KEY = "holdfast:paused";
const WORDS = { on: "Live", off: "Connecting", lost: "Reconnecting", paused: "Paused" };
const RETRY_MS = 3000;
let connection = null;

function isPaused() {
  return sessionStorage.getItem(KEY) === "yes";
}

function show(state) {
  toggle.dataset.live = state;
  toggle.setAttribute("aria-pressed", String(state !== "paused"));
  one("[data-live-word]", toggle).textContent = WORDS[state];
}

function watch() {
  if (isPaused() || document.hidden || connection) return;
  show("off");
  htmx.trigger(stream, "holdfast:watch");
}

function close() {
  connection?.reader?.cancel();
  connection?.abortController?.abort();
}

export function toggleLive() {
  if (!toggle) return;
  sessionStorage.setItem(KEY, isPaused() ? "no" : "yes");
  if (isPaused()) {
    close();
    show("paused");
  } else {
    watch();
  }
}

if (stream && toggle) {
  toggle.hidden = false;
  toggle.addEventListener("click", toggleLive);
  stream.addEventListener("htmx:sse:before:connection", (event) => {
    connection = event.detail.connection;
    if (isPaused()) event.preventDefault();
  });
  stream.addEventListener("htmx:sse:after:connection", () => show("on"));
  stream.addEventListener("htmx:sse:error", () => show(isPaused() ? "paused" : "lost"));
  stream.addEventListener("htmx:sse:close", () => {
    connection = null;
    show(isPaused() ? "paused" : "lost");
    setTimeout(watch, RETRY_MS);
  });
  for (const failed of ["htmx:error", "htmx:response:error"]) {
    stream.addEventListener(failed, () => {
      show("lost");
      setTimeout(watch, RETRY_MS);
    });
  }
  document.addEventListener("visibilitychange", watch);
  if (isPaused()) show("paused");
  else setTimeout(watch); // htmx begins with such a timer, which is before this one
}
