// Questions about jobs come into the dialog, answers into the toasts, and what they changed into
// the page. htmx brings them; see templates/confirm_form.html and templates/action.html.
import { all, one, onContent } from "./page.js";

const dialog = one("#dialog");
const GONE_MS = 8000;

const begun = new Set();
const ended = new Set();

/** A toast asks again each second how far its action is: it begins once, and ends once. */
function onAnswer() {
  for (const toast of all("#toasts [data-action]")) {
    const id = toast.dataset.action + toast.hasAttribute("data-undone");
    if (!begun.has(id) && dialog.open) dialog.close();
    begun.add(id);
    if (ended.has(id) || !toast.hasAttribute("data-over")) continue;
    ended.add(id);
    if (!toast.classList.contains("danger")) setTimeout(() => toast.remove(), GONE_MS);
    acted(toast);
  }
}

function acted(toast) {
  if (toast.hasAttribute("data-undone")) return;
  if (one("#job-top")) {
    // A job that ended has no stream: its page is another one now.
    const next = new URL(toast.dataset.back, location.href);
    next.searchParams.set("action", toast.dataset.action);
    location.assign(next);
  } else {
    document.dispatchEvent(new CustomEvent("holdfast:acted"));
  }
}

document.addEventListener("htmx:after:swap", () => {
  const question = one("#dialog-content [data-confirm]:not([data-known])");
  if (question) {
    question.dataset.known = "yes";
    if (!dialog.open) dialog.showModal();
    (one("[aria-invalid], [autofocus]", question) ?? one("button.primary, button.solid", question))?.focus();
  }
  onAnswer();
});

// A JSON field says what is wrong with it while it is written; the server looks at it again.
function check(area) {
  let problem = "";
  try {
    if (area.value.trim()) JSON.parse(area.value);
  } catch (error) {
    problem = `This is no JSON: ${error.message}`;
  }
  const hint = one(`#${area.getAttribute("aria-describedby")}`);
  area.dataset.hint ??= hint.textContent;
  area.toggleAttribute("data-wrong", Boolean(problem));
  area.setAttribute("aria-invalid", String(Boolean(problem)));
  hint.className = problem ? "bad" : "hint";
  hint.textContent = problem || area.dataset.hint;
}

let pause = 0;
document.addEventListener("input", (event) => {
  const area = event.target.closest?.("textarea[data-json]");
  if (!area) return;
  clearTimeout(pause);
  pause = setTimeout(() => check(area), 400);
});

onContent(() => {
  const notice = one("#action [data-action][data-over]");
  if (!notice) return;
  // Said once: a page that is loaded again does not say it again.
  const here = new URL(location.href);
  here.searchParams.delete("action");
  history.replaceState(history.state, "", here);
});
