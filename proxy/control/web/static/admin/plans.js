// The plans of the configuration.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { count, usd } from "../core/format.js";
import { facts } from "../core/pieces.js";

const LIMITS = [
  ["Requests a minute", "rpm", count],
  ["Requests at a time", "concurrency", count],
  ["Tokens a day", "tokens_per_day", count],
  ["Tokens a prompt", "max_input", count],
  ["Tokens an answer", "max_output", count],
  ["US dollars a request", "max_request", usd],
  ["US dollars a day", "cost_per_day", usd],
];

export async function render() {
  const { plans } = await get("/api/admin/plans");
  const text = h("p", { class: "dim" }, "What all keys of an account may use together; days are UTC. Plans are made in the configuration, under ", h("code", {}, "[plans.NAME]"), ", and given to an account in its dialog.");
  return h("div", { class: "stack" }, text, h("div", { class: "grid" }, plans.map(shown)));
}

function shown(plan) {
  const none = () => h("span", { class: "dim" }, "No limit");
  const limits = LIMITS.map(([name, key, value]) => [name, plan[key] === null ? none() : value(plan[key])]);
  return h(
    "section",
    { class: "card", "aria-label": `Plan ${plan.name}` },
    h("header", {}, h("h2", {}, plan.name)),
    facts([...limits, ["Strategy", plan.strategy ?? "The model's"], ["Requests may ask for races", plan.allow_race ? "Yes" : "No"]]),
  );
}
