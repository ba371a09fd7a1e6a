// How a project's key is used: the endpoints that answer in plain text, an example each.

import { tabs } from "../core/choose.js";
import { h } from "../core/dom.js";
import { copyable } from "../core/ui.js";

const TEXT = [{ role: "user", content: "Say hello." }];
const ENDPOINTS = [
  ["chat", "Chat", "/ai/chat", { model: "auto", messages: TEXT }, "Answers content, model, usage with credits_used and credits_remaining, and finishReason. Takes aliases, and models the project may use."],
  ["generate", "Generate", "/ai/generate", { model: "auto", prompt: "Say hello." }, "The same for one prompt, of up to 500,000 characters."],
  ["llm-chat", "LLM chat", "/ai/llm/chat", { messages: TEXT, maxTokens: 200 }, "Answers text, model, finishReason and usage; the bare text for Accept: text/plain."],
  ["llm-generate", "LLM generate", "/ai/llm/generate", { prompt: "Say hello.", systemPrompt: "Be brief." }, "The same for one prompt."],
  ["models", "Models", "/ai/models", null, "Lists the models that the project may use."],
];

/** Fill tabs and panel with them. */
export function showUse(list, panel) {
  const base = document.body.dataset.base.replace(/\/v1$/, "/api/v1");
  const entries = ENDPOINTS.map(([name, label, path, body, text]) => [name, label, () => shown(base + path, body, text)]);
  const asked = location.hash.startsWith("#use/") ? location.hash.slice("#use/".length) : null;
  tabs(list, panel, entries, "use/")(asked);
}

function shown(url, body, text) {
  const lines = [`curl ${url}`, '-H "x-api-key: $HEADRACE_KEY"'];
  if (body) lines.push('-H "Content-Type: application/json"', `-d '${JSON.stringify(body, null, 1).replace(/\n\s*/g, " ")}'`);
  const stream = body && [" Streams where ", h("code", {}, '"stream": true'), " is set."];
  return h("div", { class: "stack" }, copyable(lines.join(" \\\n  ")), h("p", { class: "dim" }, text, stream));
}
