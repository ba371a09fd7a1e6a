// What an answer cost, who gave it, and how long it took.

import { h } from "../core/dom.js";
import { count, credits, duration, number } from "../core/format.js";

/**
 * Gather what is known of a request: headers of the answer, its usage, and the books' record where these are silent.
 *
 * Returns {provider, model, attempts, route, id, input, output, reasoning, cached, cost}; what is not known is null.
 */
export function factsOf(headers, usage, record) {
  const told = (name) => headers?.get(`x-gateway-${name}`) ?? null;
  return {
    provider: told("provider") ?? record?.provider_name ?? null,
    model: told("model") ?? record?.upstream_model ?? null,
    attempts: Number(told("attempts") ?? record?.attempts?.length ?? 1),
    route: told("route"),
    id: headers?.get("x-request-id") ?? null,
    input: usage?.prompt_tokens ?? record?.tokens_prompt ?? null,
    output: usage?.completion_tokens ?? record?.tokens_completion ?? null,
    reasoning: usage?.completion_tokens_details?.reasoning_tokens || null,
    cached: usage?.prompt_tokens_details?.cached_tokens || null,
    cost: usage?.cost ?? record?.total_cost ?? null,
  };
}

/** Draw them. */
export function figures(answer, facts) {
  const speed = facts.output === null ? null : answer.speed(facts.output);
  const rows = [
    ["Served by", facts.provider && served(facts)],
    ["Tokens in", facts.input !== null && [count(facts.input), also(facts.cached, "cached")]],
    ["Tokens out", facts.output !== null && [count(facts.output), also(facts.reasoning, "reasoning")]],
    ["Cost", facts.cost !== null && credits(facts.cost, true)],
    ["First token", answer.first !== null && took(answer.first - answer.sent)],
    ["Duration", took(answer.over - answer.sent)],
    ["Speed", speed !== null && h("data", { value: speed.toFixed(2), class: "figure" }, `${number(speed)} tokens/s`)],
  ];
  return h("dl", { class: "figures" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** The same in a sentence, for who listens. */
export function summary(answer, facts) {
  const told = [facts?.output && `${number(facts.output)} tokens`, `in ${duration(answer.over - answer.sent)}`];
  return told.filter(Boolean).join(" ");
}

function served({ provider, model, attempts, route }) {
  return [
    h("span", { title: route }, model ? `${provider} · ${model}` : provider),
    attempts > 1 && h("small", {}, ` ${attempts} attempts`),
  ];
}

const also = (value, name) => value && h("small", {}, ` ${number(value)} ${name}`);
const took = (ms) => h("data", { value: Math.round(ms), title: `${number(ms)} ms`, class: "figure" }, duration(ms));
