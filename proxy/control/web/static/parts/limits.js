// What bounds a key or a project: the same fields for both.

import { h } from "../core/dom.js";
import { number, usdText } from "../core/format.js";
import { field } from "../core/ui.js";

const WHOLE = [
  ["rpm", "Requests a minute"],
  ["concurrency", "Requests at a time"],
  ["tokens_per_day", "Tokens a day"],
  ["max_output", "Tokens an answer"],
];
const MONEY = [
  ["max_request", "US dollars a request"],
  ["cost_per_day", "US dollars a day"],
];

/** The fields, filled with what is set; `unset` are the limits that count where nothing is, and `hint` tells of them. */
export function limitFields(set = {}, unset = {}, hint = "Empty is no limit of its own; the plan's count in any case.") {
  const control = (name, more) => input(name, set[name], { placeholder: unset[name] ?? "No limit", ...more });
  const made = [
    ...WHOLE.map(([name, label]) => field(label, control(name, { inputmode: "numeric", pattern: "[0-9]*" }))),
    ...MONEY.map(([name, label]) => field(label, control(name, { inputmode: "decimal", pattern: "[0-9]*[.]?[0-9]*" }))),
  ];
  const models = h("textarea", { name: "models", rows: 3, placeholder: "All models" }, (set.models ?? []).join("\n"));
  return [
    h("fieldset", {}, h("legend", {}, "Limits"), h("small", {}, hint), h("div", { class: "columns" }, made)),
    field("Models", models, "One id or alias a line; empty is all of them."),
  ];
}

function input(name, value, more) {
  return h("input", { name, value: value ?? "", ...more });
}

/** What the fields say, as the API takes it: null where a field is empty. */
export function limitsOf(data) {
  const text = (name) => data.get(name).trim() || null;
  const models = data.get("models").split(/[\s,]+/).filter(Boolean);
  return {
    ...Object.fromEntries(WHOLE.map(([name]) => [name, text(name) && Number(text(name))])),
    ...Object.fromEntries(MONEY.map(([name]) => [name, text(name)])),
    models: models.length ? models : null,
  };
}

/** What is set, in a few words. */
export function limitsText(set) {
  const told = [
    set.rpm && `${number(set.rpm)} a minute`,
    set.concurrency && `${number(set.concurrency)} at a time`,
    set.tokens_per_day && `${number(set.tokens_per_day)} tokens a day`,
    set.max_output && `${number(set.max_output)} tokens an answer`,
    set.max_request && `${usdText(set.max_request)} a request`,
    set.cost_per_day && `${usdText(set.cost_per_day)} a day`,
    set.models && `${set.models.length} ${set.models.length === 1 ? "model" : "models"}`,
  ].filter(Boolean);
  // A line breaks between limits, not within one.
  return told.length ? told.map((each) => each.replaceAll(" ", "\u00a0")).join(" · ") : "None";
}
