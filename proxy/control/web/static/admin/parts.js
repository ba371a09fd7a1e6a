// What several tabs are made of: cards, verdicts, dialogs with a form.

import { h } from "../core/dom.js";
import { badge } from "../core/pieces.js";
import { dialog, submits } from "../core/ui.js";

/** A card with a heading, words below it, and what is done there on its other side. */
export function card(title, text, actions, ...content) {
  const words = h("div", { class: "stack tight" }, h("h2", {}, title), text && h("p", { class: "dim" }, text));
  return h("section", { class: "card", "aria-label": title }, h("header", {}, words, h("div", { class: "actions" }, actions)), content);
}

/** How an account stands, in a word. */
export function standing(status) {
  const [text, kind] = { active: ["Active", "good"], blocked: ["Blocked", "warn"], closed: ["Closed", "bad"] }[status] ?? [status, ""];
  return badge(text, kind);
}

/** Ask for what a form has, in a dialog, and do `work` with it; the dialog ends when that is done. */
export function askFor(title, content, action, work) {
  const cancel = h("button", { type: "button", onclick: () => shown.close() }, "Cancel");
  const form = h("form", { class: "stack" }, content, h("div", { class: "actions" }, cancel, h("button", { class: "primary" }, action)));
  const shown = dialog(title, form);
  form.querySelector("input, select, textarea")?.focus();
  submits(form, async (data) => {
    await work(data);
    shown.close();
  });
}

/** Whether something is right, and where it is not: a badge and a sentence. */
export function verdict(ok, good, bad) {
  return h("p", { role: "status" }, badge(ok ? "In order" : "Not in order", ok ? "good" : "bad"), " ", ok ? good : bad);
}
