// The query bar completes keys, and values of those that have few: a combobox as WAI-ARIA has it
// (ARIA Authoring Practices, "Editable Combobox With List Autocomplete").
import { one } from "./page.js";

const KEYS = {
  "state:": "waiting, delayed, active, …",
  "queue:": "name of its queue",
  "name:": "name of the job",
  "id:": "its id",
  "tag:": "one of its tags",
  "worker:": "who runs it, or ran it last",
  "error:": "words of its last error",
  "reason:": "how it came to fail",
  "age>": "added longer ago than 1h",
  "created:": "added on 2026-11-01, or 2026-11-01..2026-11-08",
  "started:": "began to run",
  "finished:": "ended",
  "due<": "delayed, and due within 10m",
  "attempts>=": "runs so far",
  "priority<": "smaller runs first",
  "data.": "a value inside its data: data.user_id:42",
};
const FIXED = {
  state: ["waiting", "delayed", "active", "blocked", "completed", "failed", "cancelled"],
  reason: ["error", "crashed", "timed_out", "expired", "child_failed", "damaged"],
};
const COUNTED = ["queue", "name", "tag", "worker"];
const SHOWN_MAX = 10;

const input = one("[data-query] input");
const list = one("#query-options");
let counted = null;
let options = [];
let active = -1;

/** The term at the caret: where it begins, and what of it is before the caret. */
function termAtCaret() {
  const before = input.value.slice(0, input.selectionStart);
  let start = 0;
  let isQuoted = false;
  for (let i = 0; i < before.length; i++) {
    if (before[i] === "\\" && isQuoted) i++;
    else if (before[i] === '"') isQuoted = !isQuoted;
    else if (/\s/.test(before[i]) && !isQuoted) start = i + 1;
  }
  return { start, text: before.slice(start), isQuoted };
}

// As search.terms has it, but for letters beyond ASCII, which may be in quotes as well.
const quoted = (value) =>
  /^(?![<>=])(?!.*\.\.)[\w.:/@+-]+$/.test(value) ? value : `"${value.replace(/[\\"]/g, "\\$&")}"`;

async function valuesOf(key) {
  if (FIXED[key]) return FIXED[key].map((value) => [value, null]);
  if (!COUNTED.includes(key)) return [];
  counted ??= fetch(`${input.form.action}/complete`)
    .then((answer) => (answer.ok ? answer.json() : {}))
    .catch(() => ({}));
  return (await counted)[key] ?? [];
}

/** What could come at the caret: [{text, hint, start, isDone}]. */
async function possible() {
  const { start, text } = termAtCaret();
  const minus = text.startsWith("-") ? "-" : "";
  const word = text.slice(minus.length);
  const value = /^([a-z]+):(.*)$/i.exec(word);
  if (!value) {
    const lower = word.toLowerCase();
    return Object.entries(KEYS)
      .filter(([key]) => key.startsWith(lower) && key !== lower)
      .map(([key, hint]) => ({ text: minus + key, hint, start, isDone: false }));
  }
  const [, key, written] = value;
  const comma = written.lastIndexOf(",") + 1;
  const part = written.slice(comma).replace(/^"/, "").toLowerCase();
  const before = minus + key + ":" + written.slice(0, comma);
  const values = await valuesOf(key.toLowerCase());
  return values
    .filter(([name]) => name.toLowerCase().includes(part) && name.toLowerCase() !== part)
    .sort(([a], [b]) => b.toLowerCase().startsWith(part) - a.toLowerCase().startsWith(part))
    .map(([name, count]) => ({
      text: before + quoted(name),
      label: name,
      hint: count == null ? "" : count.toLocaleString("en"),
      start,
      isDone: true,
    }));
}

function close() {
  list.hidden = true;
  active = -1;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

function mark(index) {
  active = index;
  [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === index)));
  if (index < 0) return input.removeAttribute("aria-activedescendant");
  input.setAttribute("aria-activedescendant", list.children[index].id);
  list.children[index].scrollIntoView({ block: "nearest" });
}

async function show() {
  const asked = input.value + input.selectionStart;
  const found = (await possible()).slice(0, SHOWN_MAX + 6);
  if (asked !== input.value + input.selectionStart || document.activeElement !== input) return;
  options = found;
  list.replaceChildren(
    ...options.map(({ text, label, hint }, index) => {
      const option = document.createElement("li");
      option.id = `query-option-${index}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      const name = document.createElement("span");
      name.className = "mono";
      name.textContent = label ?? text;
      const more = document.createElement("span");
      more.className = "soft";
      more.textContent = hint;
      option.append(name, more);
      return option;
    }),
  );
  active = -1;
  input.removeAttribute("aria-activedescendant");
  list.hidden = !options.length;
  input.setAttribute("aria-expanded", String(!list.hidden));
}

function take(index) {
  const { text, start, isDone } = options[index];
  const after = input.value.slice(input.selectionStart);
  const put = isDone && !/^\s/.test(after) ? `${text} ` : text;
  input.value = input.value.slice(0, start) + put + after;
  input.setSelectionRange(start + put.length, start + put.length);
  input.focus();
  if (isDone) close();
  else show();
}

function onKey(event) {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (list.hidden) return void show();
    const step = event.key === "ArrowDown" ? 1 : -1;
    // One place more than there are options: none of them.
    mark(((active + 1 + step + options.length + 1) % (options.length + 1)) - 1);
  } else if ((event.key === "Enter" || event.key === "Tab") && active >= 0) {
    event.preventDefault();
    take(active);
  } else if (event.key === "Escape" && !list.hidden) {
    event.preventDefault();
    event.stopPropagation(); // Escape leaves the field only when nothing is open
    close();
  }
}

if (input && list) {
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-expanded", "false");
  input.addEventListener("input", show);
  input.addEventListener("focus", show);
  input.addEventListener("click", show);
  input.addEventListener("keydown", onKey);
  input.addEventListener("blur", close);
  list.addEventListener("mousedown", (event) => {
    event.preventDefault(); // the field keeps the focus
    const option = event.target.closest("li");
    if (option) take([...list.children].indexOf(option));
  });
  for (const example of document.querySelectorAll("[data-example]")) {
    example.addEventListener("click", (event) => {
      event.preventDefault();
      example.closest("details").open = false;
      input.value = example.dataset.example;
      input.focus();
    });
  }
}
