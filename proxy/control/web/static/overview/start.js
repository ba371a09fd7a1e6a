// From a key to the first answer: what to type, in three languages.

import { tabs } from "../core/choose.js";
import { h } from "../core/dom.js";
import { copyable } from "../core/ui.js";
import { newKeyButton } from "../parts/keys.js";
import { programs } from "../playground/code.js";

const REQUEST = {
  body: { model: "auto", messages: [{ role: "user", content: "Say hello." }], stream: true },
  strategy: null,
  more: {},
};
const PREFIX = "start/";

/** Steps to the first request; `made` is called when there is a key more. */
export function steps(made) {
  const base = document.body.dataset.base;
  const list = h("div", { id: "start-tabs", class: "tabs", "aria-label": "Language" });
  const panel = h("div", { id: "start-panel", role: "tabpanel", tabindex: "0" });
  const entries = programs(REQUEST).map(([name, label, text, install]) => [name, label, () => [install && needs(install), copyable(text)]]);
  const shown = h(
    "ol",
    { class: "steps" },
    step("Make a key", "It is shown once. Whoever has it spends your credits.", newKeyButton(made)),
    step("Put it into your environment", "The examples read it from there.", copyable('export HEADRACE_KEY="paste your key here"')),
    step("Send a request", ["Any OpenAI SDK works: give it this base URL. ", h("code", {}, "auto"), " lets the gateway choose a model."], copyable(base), list, panel),
  );
  tabs(list, panel, entries, PREFIX)(location.hash.startsWith(`#${PREFIX}`) ? location.hash.slice(PREFIX.length + 1) : "curl");
  return shown;
}

/** The steps, folded away: for those who have taken them. */
export function folded(made) {
  const fold = h("details", { class: "card fold" }, h("summary", {}, h("h2", {}, "Getting started"), h("small", {}, "Base URL and examples for curl, Python and Node")));
  fold.addEventListener("toggle", () => fold.open && fold.childElementCount === 1 && fold.append(steps(made)));
  return fold;
}

function step(title, text, ...parts) {
  return h("li", { class: "stack tight" }, h("h3", {}, title), h("p", { class: "dim" }, text), parts);
}

const needs = (command) => h("p", { class: "lead" }, h("small", {}, "Needs ", h("code", {}, command)));
