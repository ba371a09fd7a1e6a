// The tab of preferred models: one for each tier of difficulty.

import { get, put } from "../core/api.js";
import { h } from "../core/dom.js";
import { say, submits } from "../core/ui.js";
import { modelBox } from "../parts/models.js";

const TIERS = [
  ["simple", "Simple", "Small talk, a look-up, translating, extracting"],
  ["capable", "Capable", "Everyday work: writing, code, tools, images"],
  ["complex", "Complex", "Proofs, long reasoning, several conditions at once"],
];

export async function render() {
  const [preferred, { models }] = await Promise.all([get("/api/user/preferences"), get("/api/user/models", { q: "" })]);
  const usual = new Map(models.filter((model) => model.alias).map((model) => [model.id, model.targets]));
  const form = h(
    "form",
    { class: "stack" },
    TIERS.map(([name, label, hint]) => tierBox(name, label, hint, preferred[name], usual.get(name))),
    h("div", { class: "actions" }, h("button", { class: "primary" }, "Save")),
  );
  submits(form, async (data) => {
    await put("/api/user/preferences", Object.fromEntries(TIERS.map(([name]) => [name, data.get(name).trim() || null])));
    say("Saved. It counts from the next request on.");
  });
  return h("div", { class: "stack" }, h("p", { class: "dim" }, "What ", names(), " stand for when you ask for them as a model. An empty field leaves it to the operator."), automatic(preferred.auto_tiers), form);
}

function names() {
  const [first, second, third] = TIERS.map(([name]) => h("code", {}, name));
  return [first, ", ", second, " and ", third];
}

function tierBox(name, label, hint, value, targets) {
  const placeholder = targets?.length ? `Operator's choice: ${targets[0]}` : "Operator's choice";
  return modelBox({ name, label, hint, value: value ?? "", placeholder, optional: true, maxlength: 200 }).element;
}

/** What `auto` does with them, which the operator decides. */
function automatic(tiers) {
  const auto = h("code", {}, "auto");
  if (tiers.length === 0)
    return h("p", { class: "note" }, "On this gateway ", auto, " is one choice of the operator for every request: it does not look at these. Name a tier as the model to use yours.");
  const ways = tiers.length === TIERS.length ? "one of the three" : `${tiers.join(" or ")}, the tiers the operator set up`;
  return h("p", { class: "note" }, "With ", auto, ", or no model named, the gateway weighs how hard each request is by its words, and sends it to ", ways, ". Your choice for that tier is then asked.");
}
