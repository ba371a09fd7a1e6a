// The tab of notifications: what to be told of, and by which ways.

import { get, put } from "../core/api.js";
import { flip } from "../core/choose.js";
import { fill, h } from "../core/dom.js";
import { creditsText, inDollars } from "../core/format.js";
import { badge } from "../core/pieces.js";
import { askBefore, button, copyable, field, say, showOnce, submits } from "../core/ui.js";
import { worded } from "../parts/notice.js";

const PLACE = "/api/user/notifications";
const SAMPLES = [
  ["low_balance", { available: "412.5", threshold: "500" }],
  ["budget_reached", { scope: "key", id: 7, name: "nightly", unit: "tokens", used: "98210", limit: "100000" }],
];

export async function render() {
  const part = h("div", { class: "stack" });
  show(part, await get(PLACE));
  return part;
}

function show(part, set) {
  const again = (found) => show(part, found);
  fill(
    part,
    section("What you are told of", lowBalance(set, again), way("Daily budgets", set, "budgets", "When a key, a project or your plan has used 95 % of what it may spend in a day (UTC).")),
    section("How", h("p", { class: "dim" }, "Notices are always behind the bell. They can go elsewhere too."), mail(set), webhook(set, again)),
    samples(),
  );
}

function section(title, ...content) {
  return h("section", { class: "card stack" }, h("h3", {}, title), content);
}

function lowBalance(set, again) {
  const input = h("input", { name: "low_balance", inputmode: "decimal", pattern: "[0-9]*[.]?[0-9]*", value: set.low_balance ?? "", placeholder: "Never", autocomplete: "off" });
  const form = h(
    "form",
    { class: "row" },
    field("Low balance, in credits", input, set.low_balance === null ? "Below it you are told, once. Empty is never." : `Below it, which is ${inDollars(set.low_balance)}, you are told, once. Empty is never.`),
    h("div", { class: "actions" }, h("button", {}, "Save")),
  );
  submits(form, async () => {
    const found = await put(PLACE, { low_balance: input.value.trim() || null });
    say(found.low_balance === null ? "You are no longer told of a low balance." : `You are told below ${creditsText(found.low_balance)} credits.`);
    again(found);
  });
  return form;
}

function way(label, set, name, hint) {
  const save = async (on) => {
    set[name] = (await put(PLACE, { [name]: on }))[name];
    say(`${label}: ${on ? "on" : "off"}.`);
  };
  return flip(label, set[name], save, hint);
}

function mail(set) {
  if (set.email_possible) return way("E-mail", set, "email", "To the address you sign in with.");
  return h("p", {}, "E-mail ", badge("Not available"), h("small", { class: "below" }, "The operator has set up no mail server (the section [mail] of the settings)."));
}

function webhook(set, again) {
  const input = h("input", { name: "webhook", type: "url", value: set.webhook ?? "", placeholder: "https://…", required: true, autocomplete: "off", class: "code" });
  const form = h(
    "form",
    { class: "stack" },
    field("Webhook", input, "An address on the public internet that takes a POST of JSON. Each address has a secret of its own, shown once, that signs the calls."),
    h(
      "div",
      { class: "actions" },
      set.webhook && button("Remove", () => askBefore("Remove the webhook?", "Nothing is sent there any more, and its secret ends.", "Remove", () => point(null, again)), { class: "quiet" }),
      h("button", {}, set.webhook ? "Save with a new secret" : "Save the webhook"),
    ),
  );
  submits(form, () => point(input.value.trim(), again));
  return form;
}

async function point(address, again) {
  const found = await put(PLACE, { webhook: address });
  again(found);
  if (found.webhook_secret) showOnce("The webhook's secret", [[null, found.webhook_secret]], h("p", {}, "Check by it that calls are ours: header webhook-signature, as Standard Webhooks has it."));
  else say("The webhook is removed.");
}

function samples() {
  return h(
    "details",
    {},
    h("summary", {}, "What a notice looks like"),
    h(
      "div",
      { class: "stack" },
      SAMPLES.map(([kind, detail]) => sample(kind, detail)),
      h("small", {}, "A mail has the first line as its subject. A webhook gets the object by POST, with the headers webhook-id, webhook-timestamp and webhook-signature; a call that is not answered by 2xx is tried again four times, after 1, 2, 4 and 8 minutes."),
    ),
  );
}

function sample(kind, detail) {
  const { title, text } = worded({ kind, detail });
  const body = { event: kind, at: 1795294247, ...detail };
  return h("div", { class: "stack tight" }, h("strong", {}, title), h("p", {}, text), copyable(JSON.stringify(body)));
}
