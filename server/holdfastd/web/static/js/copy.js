// Copy buttons. Over plain HTTP a browser has no clipboard for pages: then the old way is used.
import { all, onContent } from "./page.js";

function copyOldWay(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOldWay(text);
  }
}

/** What the button says, what it stands beside, or what is at an address: it may be long. */
async function textOf(button) {
  if (button.dataset.copyFrom) return (await fetch(button.dataset.copyFrom)).text();
  return button.dataset.copy || button.parentElement.querySelector("code").textContent;
}

onContent((root) => {
  for (const button of all("[data-copy][hidden], [data-copy-from][hidden]", root)) button.hidden = false;
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-from]");
  if (!button) return;
  const done = await copy(await textOf(button));
  const before = button.lastChild.textContent;
  button.lastChild.textContent = done ? "Copied" : "Not allowed";
  setTimeout(() => (button.lastChild.textContent = before), 1500);
});
