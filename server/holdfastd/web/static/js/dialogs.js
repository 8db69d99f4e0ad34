// Asks in a dialog what is asked on a page without JavaScript, and shows answers as toasts.
import { all, one, onContent } from "./page.js";

const dialog = one("#dialog");
const content = one("#dialog-content");
const toasts = one("#toasts");
const help = one("#help");
const TOAST_MS = 8000;

/** Load a form from `url` into the dialog and show it. */
export async function ask(url) {
  await htmx.ajax("GET", url, { target: "#dialog-content", swap: "innerHTML" });
  if (!dialog.open && content.childElementCount) dialog.showModal();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-dialog]");
  if (link && event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    ask(link.href);
  } else if (event.target.closest?.("[data-dialog-close]")) {
    event.preventDefault();
    dialog.close();
  } else if (event.target.closest?.("[data-toast-close]")) {
    event.target.closest(".toast").remove();
  } else if (event.target === dialog || event.target === help) {
    event.target.close(); // its backdrop
  }
});

// A form that is sent from the dialog answers with a toast, or with itself and what is wrong in it.
document.addEventListener("htmx:after:swap", () => {
  if (dialog.open && toasts.querySelector(".toast:not([data-seen])")) dialog.close();
  for (const toast of all(".toast:not([data-seen])", toasts)) {
    toast.dataset.seen = "yes";
    if (!toast.classList.contains("danger")) setTimeout(() => toast.remove(), TOAST_MS);
  }
});

onContent(() => {
  for (const form of all("form[data-auto]:not([data-ready])")) {
    form.dataset.ready = "yes";
    form.addEventListener("change", () => form.requestSubmit());
  }
});

const open = one("#help-open");
open.hidden = false;
open.addEventListener("click", () => help.showModal());
export const showHelp = () => help.open || help.showModal();
