// API keys: the list, making one, changing, rotating, revoking. Shared by the page and the settings dialog.

import { del, get, post, put } from "../core/api.js";
import { h } from "../core/dom.js";
import { count, credits, date } from "../core/format.js";
import { badge, id } from "../core/pieces.js";
import { table } from "../core/table.js";
import { askBefore, button, dialog, empty, field, load, say, showOnce, small, submits } from "../core/ui.js";
import { limitFields, limitsOf, limitsText } from "./limits.js";
import { strategies } from "./strategies.js";

const KEYS = "/api/aggregator/keys";

/** Fill a part of a page with the account's keys. */
export function keys(part) {
  const again = () => keys(part);
  return load(part, async () => {
    const found = (await get(KEYS)).keys;
    if (found.length === 0)
      return empty("No keys yet", "A key is what an application shows to be let in. Make one, and put it into the environment of your application.", newKeyButton(again));
    const columns = [
      { name: "Key", cell: (key) => h("div", { class: "named" }, h("span", {}, key.name || "Unnamed", " ", state(key)), h("code", {}, key.shown)) },
      { name: "Limits", cell: (key) => h("small", {}, limitsText(key)) },
      { name: "Made", cell: (key) => date(key.created_at * 1000) },
      { name: "Actions", kind: "actions", cell: (key) => actions(key, again) },
    ];
    return table("API keys", columns, found);
  });
}

function state(key) {
  if (key.revoked) return badge("Revoked", "bad");
  if (key.expires_at && key.expires_at * 1000 < Date.now()) return badge("Expired", "warn");
  if (key.expires_at) return badge(["Until ", date(key.expires_at * 1000)]);
  return null;
}

function actions(key, again) {
  const name = key.name || key.shown;
  const usage = small("Usage", name, () => showUsage(key));
  if (key.revoked) return usage;
  return [
    usage,
    small("Edit", name, () => edit(key, again)),
    small("Rotate", name, () => askBefore(`Rotate ${name}?`, "The key ends now, and its successor with the same limits is shown once. What runs by it finishes.", "Rotate", async () => {
      const made = await post(`${KEYS}/${key.id}/regenerate`);
      again();
      showOnce("The new key", [[null, made.key]]);
    })),
    small("Revoke", name, () => askBefore(`Revoke ${name}?`, "The key ends now, and every request that runs by it.", "Revoke", async () => {
      await del(`${KEYS}/${key.id}`);
      say("The key is revoked.");
      again();
    })),
  ];
}

/** A button that makes a key; `again` is called when there is one more. */
export function newKeyButton(again) {
  return button("New key", () => create(again), { class: "primary" });
}

function create(again) {
  const kind = h("select", { name: "kind" }, h("option", { value: "account" }, "Account key (fd_agg_…)"), h("option", { value: "gateway" }, "Gateway key (fk-…)"));
  const form = terms({}, "Make the key", field("Kind", kind, "Both open the same; some applications expect one of the two prefixes."));
  const shown = dialog("New API key", form);
  submits(form, async (data) => {
    const made = await post(KEYS, { ...given(data), kind: data.get("kind") });
    shown.close();
    again();
    showOnce("Your new key", [[null, made.key]], h("a", { href: "/playground" }, "Try it in the playground"));
  });
}

function edit(key, again) {
  const form = terms(key, "Save");
  const shown = dialog(`Edit ${key.name || key.shown}`, form);
  submits(form, async (data) => {
    await put(`${KEYS}/${key.id}`, given(data, key));
    shown.close();
    say("The key is changed.");
    again();
  });
}

function terms(key, action, ...more) {
  const until = lastDay(key);
  return h(
    "form",
    { class: "stack" },
    field("Name", h("input", { name: "name", value: key.name ?? "", maxlength: 256, placeholder: "Where it is used", autocomplete: "off", autofocus: true })),
    more,
    h("div", { class: "columns" }, field("Strategy", strategies("As the plan says", key.strategy)), field("Good through (UTC)", h("input", { type: "date", name: "expires", value: until }))),
    limitFields(key),
    h("div", { class: "actions" }, h("button", { class: "primary" }, action)),
  );
}

/** The last UTC day a key is good on. */
function lastDay(key) {
  return key.expires_at ? new Date(key.expires_at * 1000).toISOString().slice(0, 10) : "";
}

function given(data, key = {}) {
  const text = (name) => data.get(name).trim() || null;
  const until = data.get("expires");
  // What was set to the minute stays so unless another day is chosen.
  const expires = until === lastDay(key) ? {} : { expires: until ? `${until}T23:59:59Z` : null };
  return { name: data.get("name").trim(), strategy: text("strategy"), ...expires, ...limitsOf(data) };
}

function showUsage(key) {
  const part = h("div", { class: "stack" });
  dialog(`Usage of ${key.name || key.shown}`, part);
  return load(part, async () => {
    const { by_day, by_model } = await get(`${KEYS}/${key.id}/usage`);
    if (by_day.length === 0) return empty("Not used yet", "No request was made by this key.");
    const sums = (label, name) => [
      { name: label, cell: (sum) => id(sum[name]) },
      { name: "Requests", kind: "number", cell: (sum) => count(sum.requests) },
      { name: "Tokens", kind: "number", cell: (sum) => count(sum.prompt_tokens + sum.completion_tokens) },
      { name: "Credits", kind: "number", phone: "figure", cell: (sum) => credits(sum.cost) },
    ];
    return [h("h3", {}, "By model"), table("By model", sums("Model", "model"), by_model), h("h3", {}, "By day"), table("By day", sums("Day (UTC)", "day"), by_day)];
  });
}
