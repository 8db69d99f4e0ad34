// The pages on jobs: everything here only makes quicker what forms and links do without it.
import { all, one, onContent } from "./page.js";
import "./querybar.js";
import "./selection.js";
import "./asking.js";
import "./job.js";

const WIDE = matchMedia("(width >= 860px)");

// Menus and help close when one clicks elsewhere, goes elsewhere, or says so.
function closePopovers(but) {
  for (const popover of all("details[data-popover][open]")) if (popover !== but) popover.open = false;
}
document.addEventListener("click", (event) => closePopovers(event.target.closest?.("details[data-popover]")));
document.addEventListener("focusin", (event) => closePopovers(event.target.closest?.("details[data-popover]")));
document.addEventListener("keydown", (event) => {
  const popover = event.key === "Escape" && event.target.closest?.("details[data-popover][open]");
  if (!popover) return;
  popover.open = false;
  one("summary", popover).focus();
});

// Facets are counted when they are seen: at once beside the table, when unfolded on a small screen.
const facets = one("#facets");
let isLoaded = false;

function tellTotal(body) {
  const total = one("[data-total]", body);
  if (!total) return;
  const number = Number(total.dataset.total).toLocaleString("en");
  for (const place of all("[data-matching-count]")) {
    place.textContent = total.dataset.exact === "yes" ? number : `${number}+`;
  }
}

async function loadFacets() {
  if (!facets.dataset.facets) return;
  const body = one("[data-facets-body]", facets);
  isLoaded = true;
  try {
    const answer = await fetch(facets.dataset.facets, { headers: { "HX-Request": "true" } });
    if (answer.status !== 200) return;
    body.innerHTML = await answer.text();
    tellTotal(body);
  } catch {
    isLoaded = false; // the network: unfolding it again tries again
  }
}

if (facets) {
  facets.addEventListener("toggle", () => facets.open && !isLoaded && loadFacets());
  if (facets.open) {
    isLoaded = true;
    tellTotal(facets);
  } else if (WIDE.matches) {
    facets.open = true;
  }
}

/** After something was done: the table and the counts as they are now. */
async function refreshJobs() {
  if (!one("#results")) return;
  await htmx.ajax("GET", location.href, { target: "#results", select: "#results", swap: "outerHTML" });
  if (facets?.open) loadFacets();
  else isLoaded = false;
}
document.addEventListener("holdfast:acted", refreshJobs);

onContent((root) => {
  for (const hidden of all("[data-pick-all][hidden], [data-follow][hidden]", root)) {
    hidden.hidden = false;
  }
});
