// The request as a command, and as a program.

import { addressed } from "../core/address.js";
import { tabs } from "../core/choose.js";
import { h, must } from "../core/dom.js";
import { copyable, dialog } from "../core/ui.js";

/** Show a request {body, strategy, more} in three languages; `more` are the fields an SDK may not know. */
export function showCode(request) {
  const list = h("div", { id: "code-tabs", class: "tabs", "aria-label": "Language" });
  const panel = h("div", { id: "code-panel", role: "tabpanel", tabindex: "0" });
  const hint = h("p", { class: "dim" }, "The key is read from ", h("code", {}, "HEADRACE_KEY"), ": make one under ", h("a", { href: "/keys" }, "API keys"), ".");
  const shown = dialog("The request as code", h("div", {}, hint, list, panel));
  shown.classList.add("broad");
  tabs(list, panel, programs(request).map(([name, label, text]) => [name, label, () => copyable(text)]), "code/")("curl");
  addressed(shown, "#code/");
  must("button", list).focus();
}

/** A request in each language: [name, label, text, the command that gets what it needs]. */
export function programs(request) {
  const base = document.body.dataset.base;
  return [
    ["curl", "curl", curl(base, request), null],
    ["python", "Python", python(base, request), "pip install openai"],
    ["node", "Node", node(base, request), "npm install openai"],
  ];
}

/** A command for a POSIX shell. */
export function curl(base, { body, strategy }) {
  const data = literal(body, JSON_TEXT, 0).replaceAll("'", "'\\''");
  const parts = [
    `curl -N ${base}/chat/completions`,
    '-H "Authorization: Bearer $HEADRACE_KEY"',
    '-H "Content-Type: application/json"',
    strategy && `-H "X-Headrace-Strategy: ${strategy}"`,
    `-d '${data}'`,
  ];
  return parts.filter(Boolean).join(" \\\n  ");
}

/** A program with OpenAI's Python SDK. */
function python(base, request) {
  const { known, extra } = split(request);
  const given = Object.entries(known).map(([name, value]) => `    ${name}=${literal(value, PYTHON, 1)},`);
  if (request.strategy) given.push(`    extra_headers={"X-Headrace-Strategy": "${request.strategy}"},`);
  if (extra) given.push(`    extra_body=${literal(extra, PYTHON, 1)},`);
  return `import os

from openai import OpenAI

client = OpenAI(base_url="${base}", api_key=os.environ["HEADRACE_KEY"])
stream = client.chat.completions.create(
${given.join("\n")}
)
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="", flush=True)
    if chunk.usage:
        print("\\n", chunk.usage)`;
}

/** A module with OpenAI's SDK for Node. */
function node(base, { body, strategy }) {
  const headers = strategy ? `, {\n  headers: { "X-Headrace-Strategy": "${strategy}" },\n}` : "";
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}", apiKey: process.env.HEADRACE_KEY });
const stream = await client.chat.completions.create(${literal(body, SCRIPT, 0)}${headers});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
  if (chunk.usage) console.log("\\n", chunk.usage);
}`;
}

/** Part what every SDK takes by name from what it has to be handed as it is. */
function split({ body, more }) {
  const own = Object.entries(body).filter(([name]) => !(name in more));
  return { known: Object.fromEntries(own), extra: Object.keys(more).length > 0 ? more : null };
}

const quoted = (text) => JSON.stringify(text);
const plain = (text) => (/^[A-Za-z_]\w*$/.test(text) ? text : quoted(text));
const JSON_TEXT = { step: "  ", words: {}, name: quoted, last: "", braces: ["{", "}"] };
const PYTHON = { step: "    ", words: { true: "True", false: "False", null: "None" }, name: quoted, last: ",", braces: ["{", "}"] };
const SCRIPT = { step: "  ", words: {}, name: plain, last: ",", braces: ["{ ", " }"] };
const SHORT = 80;

/** Write a value in a language; what is short stands in one line. */
function literal(value, language, depth) {
  if (value === null || typeof value !== "object") {
    const text = JSON.stringify(value);
    return language.words[text] ?? text;
  }
  const list = Array.isArray(value);
  const inner = (item) => literal(item, language, depth + 1);
  const items = list ? value.map(inner) : Object.entries(value).map(([name, item]) => `${language.name(name)}: ${inner(item)}`);
  const [open, close] = list ? ["[", "]"] : language.braces;
  if (items.length === 0) return open.trim() + close.trim();
  const line = items.join(", ");
  if (depth > 0 && line.length < SHORT && !line.includes("\n") && !(list && line.includes("{"))) return open + line + close;
  const indent = `\n${language.step.repeat(depth)}`;
  return open.trim() + items.map((item) => indent + language.step + item).join(",") + language.last + indent + close.trim();
}
