// An account's own keys at providers: the list, keeping one, trying, forgetting. Shared by the tabs of models and of audio.

import { del, get, post, sentence } from "../core/api.js";
import { options } from "../core/choose.js";
import { fill, h } from "../core/dom.js";
import { since } from "../core/format.js";
import { badge, id } from "../core/pieces.js";
import { table } from "../core/table.js";
import { askBefore, button, dialog, empty, field, load, say, small, submits } from "../core/ui.js";

const OWN = "/api/user/byok";
const NAMES = { anthropic: "Anthropic", deepgram: "Deepgram", elevenlabs: "ElevenLabs", google: "Google", groq: "Groq", mistral: "Mistral", openai: "OpenAI", openrouter: "OpenRouter" };

/** Ask for the account's keys, the providers that may have one, and whether credits pay where a key fails. */
export const kept = () => get(OWN);

/**
 * Fill a part of a page with the keys of a purpose, {purpose: "llm" or "audio", without: {title, text}}.
 * `first` is what `kept` told, where that was asked for already.
 */
export function ownKeys(part, kind, first = null, tried = {}) {
  const again = () => ownKeys(part, kind, null, tried);
  return load(part, async () => {
    const found = first ?? (await kept());
    const mine = found.keys.filter((key) => key.purpose === kind.purpose);
    const free = found[`${kind.purpose}_providers`].filter((each) => !mine.some((key) => key.provider === each));
    const add = free.length > 0 && button("Add a key", () => keep(kind, free, tried, again), { class: "primary" });
    if (mine.length === 0) return empty(kind.without.title, kind.without.text, add);
    return h("div", { class: "stack" }, listed(mine, kind, tried, again), h("div", { class: "actions" }, add));
  });
}

function listed(mine, kind, tried, again) {
  const columns = [
    { name: "Provider", cell: provider },
    { name: "Key", phone: "bare", cell: (key) => h("code", { class: "figure" }, key.shown) },
    { name: "Kept", cell: (key) => since(key.created_at * 1000) },
    { name: "Last test", phone: "figure", cell: (key) => verdict(key.provider, tried[key.provider]) },
    { name: "Actions", kind: "actions", cell: (key) => actions(key, kind, tried, again) },
  ];
  return table("Your keys at providers", columns, mine);
}

function provider(key) {
  return h("span", {}, called(key.provider), key.name && h("small", { class: "below" }, key.name), key.base_url && h("small", { class: "below" }, h("code", {}, id(key.base_url))));
}

function actions(key, kind, tried, again) {
  const name = called(key.provider);
  const whose = `the key for ${name}`;
  const forget = async () => {
    await del(`${OWN}/${encodeURIComponent(key.provider)}`);
    say(`The key for ${name} is deleted.`);
    delete tried[key.provider];
    again();
  };
  return [
    small("Test", whose, () => tryKey(key.provider, tried)),
    small("Replace", whose, () => keep(kind, [key.provider], tried, again, key)),
    small("Delete", whose, () => askBefore(`Delete the key for ${name}?`, "It is forgotten, and what runs with it ends. Models of this provider are then paid for with credits, where the gateway offers them.", "Delete", forget)),
  ];
}

/** Try a key that is kept, and write what came of it into its row. */
async function tryKey(provider, tried) {
  show(provider, { waiting: true });
  try {
    tried[provider] = await post(`${OWN}/${encodeURIComponent(provider)}/test`);
  } finally {
    show(provider, tried[provider]);
  }
}

function show(provider, result) {
  for (const each of document.querySelectorAll(`[data-tested="${CSS.escape(provider)}"]`)) fill(each, words(result));
}

function verdict(provider, result) {
  return h("span", { "data-tested": provider, role: "status" }, words(result));
}

function words(result) {
  if (result?.waiting) return "Testing…";
  if (!result) return h("span", { class: "dim" }, "Not tested");
  if (result.said === "ok") return badge("It works", "good");
  const [kind, verdict] = /refuses/.test(result.said) ? ["bad", "Refused"] : /takes the key/.test(result.said) ? ["warn", "Limited"] : ["warn", "Not proven"];
  return [badge(verdict, kind), h("small", { class: "below" }, sentence(result.said))];
}

const called = (provider) => NAMES[provider] ?? provider;

/** Ask for a key, or for the one that takes the place of `old`; then keep it and try it. */
function keep(kind, providers, tried, again, old = null) {
  const secret = h("input", { name: "key", type: "password", required: true, autocomplete: "off", spellcheck: "false", maxlength: 4096 });
  const form = h(
    "form",
    { class: "stack" },
    old ? h("input", { type: "hidden", name: "provider", value: old.provider }) : field("Provider", h("select", { name: "provider" }, options(providers.map((each) => [each, called(each)])))),
    field("Key", secret, "It is sealed where it is kept, used for your requests alone, and never shown again."),
    kind.purpose === "llm" && addressField(old),
    field("Name", h("input", { name: "name", value: old?.name ?? "", maxlength: 64, autocomplete: "off" }), "For yourself; it may be empty."),
    h("div", { class: "actions" }, h("button", { class: "primary" }, "Keep and test the key")),
  );
  const shown = dialog(old ? `Replace the key for ${called(old.provider)}` : "Add a key", form);
  submits(form, async (data) => {
    const given = { provider: data.get("provider"), key: data.get("key").trim(), name: data.get("name").trim() };
    await post(OWN, { ...given, base_url: data.get("base_url")?.trim() || null });
    shown.close();
    delete tried[given.provider];
    await again();
    tryKey(given.provider, tried).catch(() => {});
  });
}

function addressField(old) {
  const address = h("input", { name: "base_url", type: "url", value: old?.base_url ?? "", placeholder: "https://…", autocomplete: "off", class: "code" });
  return h(
    "details",
    { open: Boolean(old?.base_url) },
    h("summary", {}, "An address of your own"),
    field("Base URL", address, "Only where the provider gave your account an address of its own, as Azure does. Empty is the provider's usual one."),
  );
}
