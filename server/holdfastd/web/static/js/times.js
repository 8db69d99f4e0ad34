// Keeps "3 min ago" true while the page stands, so that the server need not say it again.
import { all, onContent } from "./page.js";

const UNITS = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"]];

function coarse(ms) {
  for (const [unit, name] of UNITS) if (ms >= unit) return `${Math.floor(ms / unit)} ${name}`;
  return `${Math.max(0, Math.floor(ms / 1000))} s`;
}

function words(at, kind) {
  const passed = Date.now() - at;
  if (kind === "for") return coarse(passed);
  return passed >= 0 ? `${coarse(passed)} ago` : `in ${coarse(-passed)}`;
}

function refresh(root) {
  for (const time of all("time[data-as]", root)) {
    const at = Number(time.dataset.at);
    if (time.dataset.as !== "instant") {
      const text = words(at, time.dataset.as);
      if (time.textContent !== text) time.textContent = text;
    }
    if (!time.dataset.local) {
      time.dataset.local = "yes";
      time.title = `${time.title}\n${new Date(at).toLocaleString()} here`;
    }
  }
}

onContent(refresh);
setInterval(() => document.hidden || refresh(document), 1000);
