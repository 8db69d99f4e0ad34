// Ticking jobs: all of the page, ranges with Shift, all that match. What is ticked is sent by the
// form as it is; here is only what makes ticking quick, and says how many they are.
import { all, one, onContent } from "./page.js";

let last = null;

const boxes = (form) => all("[data-pick]", form);

function show(form) {
  const ticked = boxes(form).filter((box) => box.checked);
  const isAllMatching = one("[data-matching]", form)?.checked ?? false;
  for (const box of boxes(form)) {
    box.disabled = isAllMatching;
    box.closest("[data-row]").classList.toggle("is-picked", box.checked || isAllMatching);
  }
  const every = one("[data-pick-all] input", form);
  if (every) {
    every.checked = ticked.length > 0 && ticked.length === boxes(form).length;
    every.indeterminate = ticked.length > 0 && !every.checked;
    every.disabled = isAllMatching;
  }
  const said = one("[data-selected]", form);
  if (said) said.textContent = isAllMatching ? "Act on" : ticked.length ? `${ticked.length} ticked, or` : "Tick jobs, or";
  const isIdle = !isAllMatching && !ticked.length;
  one(".actions", form)?.classList.toggle("is-idle", isIdle);
  for (const button of all("[data-act]", form)) button.disabled = isIdle;
}

document.addEventListener("click", (event) => {
  const box = event.target.closest?.("[data-pick]");
  if (!box) return;
  const row = boxes(box.form);
  if (event.shiftKey && last && row.includes(last)) {
    const [from, to] = [row.indexOf(last), row.indexOf(box)].sort((a, b) => a - b);
    for (const one of row.slice(from, to + 1)) one.checked = box.checked;
  }
  last = box;
});

document.addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-selection]");
  if (!form) return;
  if (event.target.closest("[data-pick-all]")) {
    for (const box of boxes(form)) box.checked = event.target.checked;
  }
  show(form);
});

// What leaves the page as a file is no matter of htmx.
document.addEventListener(
  "submit",
  (event) => event.submitter?.hasAttribute("data-plain") && event.stopImmediatePropagation(),
  { capture: true },
);

onContent(() => all("form[data-selection]").forEach(show));
