// Auto, light, dark: kept in a cookie, so that the server sends the page in its colours.
import { one } from "./page.js";

const THEMES = ["auto", "light", "dark"];
const YEAR_S = 31_536_000;
const root = document.documentElement;
const button = one("#theme-toggle");

export function nextTheme() {
  const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
  root.dataset.theme = next;
  document.cookie = `holdfast_theme=${next}; path=/; max-age=${YEAR_S}; SameSite=Strict`;
  button.setAttribute("aria-label", `Theme: ${next}`);
  button.title = `Theme: ${next} (t)`;
  document.dispatchEvent(new CustomEvent("holdfast:theme"));
}

button.hidden = false;
button.addEventListener("click", nextTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  document.dispatchEvent(new CustomEvent("holdfast:theme")),
);
