// Requests in a table, and all that is known of one.

import { addressed } from "../core/address.js";
import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { compact, count, credits, duration, number, when, whenShort } from "../core/format.js";
import { cut, facts, id } from "../core/pieces.js";
import { table } from "../core/table.js";
import { copyButton, dialog, load, skeleton } from "../core/ui.js";
import { meaning, outcome, tried } from "./outcome.js";

export const REQUESTS = "/api/user/usage/requests";
const HASH = "#gen_";
const PROMPT = ["input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "input_image"];
const ANSWER = ["output", "reasoning", "output_audio", "output_image"];
const CLASSES = {
  input: "Input tokens",
  cache_read: "Input tokens, from the cache",
  cache_write: "Input tokens, written to the cache",
  cache_write_1h: "Input tokens, written to the cache for an hour",
  input_audio: "Input tokens, sound",
  input_image: "Input tokens, images",
  output: "Output tokens",
  reasoning: "Output tokens, reasoning",
  output_audio: "Output tokens, sound",
  output_image: "Output tokens, images",
  characters: "Characters spoken",
  seconds: "Seconds of sound",
  images: "Images",
};

/** The columns of a table of requests, `all` of them or those that matter most. */
export function columnsOf(all = true) {
  return [
    { name: "Time", phone: "bare", cell: opener },
    { name: "Model", phone: "title", cell: (row) => h("span", { class: "named" }, id(row.model), all && other(row) && h("small", {}, `at ${row.provider}`)) },
    all && { name: "Key", phone: "none", cell: (row) => h("span", { class: "id" }, row.key_name ?? row.key_id, row.project && h("small", {}, ` ${row.project}`)) },
    { name: "Tokens", kind: "number", phone: "bare", cell: tokens },
    { name: "Credits", kind: "number", phone: "figure", cell: (row) => credits(row.cost) },
    { name: "First token", kind: "number", phone: "none", cell: (row) => duration(row.first_token_ms) },
    all && { name: "Duration", kind: "number", phone: "none", cell: (row) => duration(row.duration_ms) },
    { name: "Outcome", phone: "last", cell: outcome },
  ].filter(Boolean);
}

/** Whether a provider answered that the model is not named after. */
const other = ({ model, provider }) => provider && !model.startsWith(`${provider}/`);

function opener(row) {
  return h("button", { type: "button", class: "link row-wide", "aria-haspopup": "dialog", onclick: () => show(row.generation_id) }, whenShort(Date.parse(row.started_at)));
}

const sum = (usage, names) => names.reduce((all, name) => all + (usage[name] ?? 0), 0);

function tokens({ usage }) {
  const [asked, answered] = [sum(usage, PROMPT), sum(usage, ANSWER)];
  if (asked + answered > 0) return h("span", { class: "figure", title: `${number(asked)} in, ${number(answered)} out` }, `${compact(asked)} → ${compact(answered)}`);
  const [unit] = Object.keys(usage);
  return unit ? h("span", { title: CLASSES[unit] }, `${compact(usage[unit])} ${unit}`) : "–";
}

/** Show a request in a dialog; the address is its own while it is open, and back closes it. */
function show(generation) {
  const part = h("div", { class: "request" }, skeleton(8));
  const entered = location.hash !== `#${generation}`;
  if (entered) history.pushState(null, "", `#${generation}`);
  const shown = dialog("Request", part);
  shown.classList.add("broad");
  addressed(shown, HASH, entered);
  return load(part, async () => told(await get(`${REQUESTS}/${encodeURIComponent(generation)}`)));
}

/** Show the request that the address names, whenever it names one. */
export function showAsked() {
  const asked = () => location.hash.startsWith(HASH) && show(location.hash.slice(1));
  window.addEventListener("hashchange", asked);
  asked();
}

function told(request) {
  return h(
    "div",
    { class: "stack" },
    h("p", { class: "verdict" }, outcome(request), h("span", {}, meaning(request))),
    facts(factsOf(request)),
    ids(request),
    h("h3", {}, "Usage"),
    usageTable(request),
    h("h3", {}, "Attempts"),
    attempts(request),
  );
}

function factsOf(request) {
  return [
    ["Started", when(Date.parse(request.started_at))],
    ["Model", id(request.model)],
    request.model_asked && request.model_asked !== request.model && ["Asked for", id(request.model_asked)],
    ["Provider", request.provider ? `${request.provider}, as ${request.upstream_model}` : "None answered"],
    ["Credits", [credits(request.cost), request.funding === "byok" && h("small", {}, " paid by your own provider key")]],
    ["First token", duration(request.first_token_ms)],
    ["Duration", duration(request.duration_ms)],
    ["Key", [request.key_name ?? request.key_id, request.project && h("small", {}, ` of ${request.project}`)]],
    ["Answer", request.stream ? "Streamed" : "Whole"],
  ];
}

function ids(request) {
  const rows = [
    ["Generation ID", request.generation_id],
    ["X-Request-ID", request.request_id],
  ];
  const copy = (name, text) => copyButton(() => text, "Copy", `Copy the ${name}`);
  return h("dl", { class: "ids" }, rows.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, cut(text), copy(name, text)))));
}

function usageTable(request) {
  const rows = Object.entries(request.usage);
  if (rows.length === 0) return h("p", { class: "dim" }, "Nothing was used.");
  const columns = [
    { name: "Class", cell: ([name]) => CLASSES[name] ?? name },
    { name: "Count", kind: "number", phone: "figure", cell: ([, value]) => count(value) },
  ];
  const made = table("Usage", columns, rows);
  return request.estimated ? [made, h("p", { class: "dim" }, "Counted by the gateway: the provider did not say.")] : made;
}

function attempts(request) {
  if (request.attempts.length === 0) return h("p", { class: "dim" }, "No provider was asked.");
  const columns = [
    { name: "Provider", cell: (each) => h("span", { class: "named" }, each.provider, h("small", {}, id(each.model))) },
    { name: "Outcome", phone: "figure", cell: (each) => [tried(each), each.status !== null && h("small", {}, ` HTTP ${each.status}`)] },
    { name: "Began after", kind: "number", cell: (each) => duration(each.started_ms) },
    { name: "First token", kind: "number", cell: (each) => duration(each.first_token_ms) },
    { name: "Duration", kind: "number", cell: (each) => duration(each.duration_ms) },
  ];
  return table("Attempts", columns, request.attempts);
}
