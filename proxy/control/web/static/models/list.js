// Models in pages, as the API finds them.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { compact, number } from "../core/format.js";
import { badge, facts, id } from "../core/pieces.js";
import { pages, table } from "../core/table.js";
import { copyButton, dialog, empty } from "../core/ui.js";
import { chats } from "../parts/models.js";
import { byPiece, price, priceRows } from "./price.js";

const MODELS = "/api/user/models";
const PAGE = 50;
const COLUMNS = [
  { name: "Model", cell: named },
  { name: "Capabilities", phone: "none", cell: (model) => capabilities(model) },
  { name: "Context", kind: "number", cell: (model) => length(model.context_length) },
  { name: "Input", kind: "number", cell: (model) => cost(model, "input") },
  { name: "Output", kind: "number", cell: (model) => cost(model, "output") },
  { name: "Actions", kind: "actions", phone: "figure", cell: actions },
];

/** Fill a part of a page; `told` is called with the first answer: how many there are, and what can be looked for. */
export function models(part, query, told) {
  const nothing = empty("No model matches", "Try fewer words or filters. Providers without a key of the operator’s are offered to accounts that have one: add yours under Settings, LLM BYOK.");
  const next = async (after) => {
    const found = await get(MODELS, { ...query, after, limit: PAGE });
    if (after === null) told(found);
    return { rows: found.models, cursor: found.next };
  };
  return pages(part, "Models", COLUMNS, next, nothing);
}

function named(model) {
  return h(
    "span",
    { class: "named" },
    h("button", { type: "button", class: "link", "aria-haspopup": "dialog", onclick: () => show(model) }, id(model.id)),
    model.alias ? h("small", { class: "id" }, "Alias of ", model.targets.join(", ") || "nothing now") : model.name !== model.id && h("small", { class: "id" }, model.name),
  );
}

const none = () => h("span", { class: "dim" }, "–");
const capabilities = (model) => (model.capabilities.length ? h("span", { class: "badges" }, model.capabilities.map((each) => badge(each.replaceAll("_", " ")))) : none());
const length = (tokens) => (tokens === null ? none() : h("data", { value: tokens, title: `${number(tokens)} tokens`, class: "figure" }, compact(tokens)));
const free = (model) => Object.keys(model.prices).length === 0;

function cost(model, name) {
  if (free(model)) return "Free";
  const told = price(model.prices, name);
  if (told) return told;
  const pieces = name === "input" || model.prices.input !== undefined ? byPiece(model.prices) : null;
  return pieces ?? none();
}

const tryIt = (model, more = {}) => h("a", { class: "button small", href: `/playground?model=${encodeURIComponent(model.id)}`, ...more }, "Try");

function actions(model) {
  const copy = copyButton(() => model.id, "Copy ID", `Copy the id ${model.id}`);
  copy.classList.add("phone-none"); // a tap on the model shows another
  return [chats(model) && tryIt(model, { "aria-label": `Try ${model.id} in the playground` }), copy];
}

function show(model) {
  const told = [
    ["Name", model.name],
    ["Provider", model.provider],
    ["Context", model.context_length === null ? "Not known" : `${number(model.context_length)} tokens`],
    ["Longest answer", model.max_output_tokens === null ? "Not known" : `${number(model.max_output_tokens)} tokens`],
    model.alias && ["Stands for", model.targets.join(", ") || "Nothing now"],
    ["Capabilities", capabilities(model), "whole"],
  ];
  const columns = [
    { name: "What", cell: ([what]) => what },
    { name: "US dollars", kind: "number", phone: "figure", cell: ([, told]) => told },
    { name: "Per", phone: "last", cell: ([, , unit]) => unit },
  ];
  const shown = dialog(
    model.id,
    h(
      "div",
      { class: "stack" },
      facts(told),
      h("h3", {}, "Prices"),
      free(model) ? h("p", { class: "dim" }, "It costs nothing here.") : table("Prices", columns, priceRows(model.prices)),
      h("p", { class: "dim" }, "What is not listed costs as much as input or output does."),
      h("div", { class: "actions" }, copyButton(() => model.id, "Copy ID"), chats(model) && tryIt(model)),
    ),
  );
  shown.classList.add("broad");
}
