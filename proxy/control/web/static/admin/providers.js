// Providers and how they are: shown anew every five seconds while somebody looks.

import { get } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { compact, duration, share } from "../core/format.js";
import { badge, id } from "../core/pieces.js";
import { table } from "../core/table.js";
import { button, empty, failure, skeleton, toggle } from "../core/ui.js";

const EVERY = 5000;
const FAILING = 0.5; // Errors a request from which a deployment is marked, whatever its breaker does.
const STATES = {
  closed: ["Closed: in use", "good"],
  half_open: ["Half-open: being tried", "warn"],
  open: ["Open: not asked", "bad"],
};
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export async function render() {
  const list = h("div", { class: "stack health" }, h("section", { class: "card" }, skeleton(6)));
  const state = h("span", { class: "dim" });
  let on = true;
  async function refresh() {
    try {
      const { providers } = await get("/api/admin/providers");
      fill(list, providers.length ? providers.map(shown) : nobody());
      fill(state, `As of ${clock.format(new Date())}. Figures are of the last five minutes.`);
    } catch (error) {
      fill(state, failure(error, refresh));
    }
  }
  watch(list, () => on, refresh);
  await refresh();
  const again = toggle("Refresh every 5 s", true, (checked) => (on = checked));
  return h("div", { class: "stack" }, h("div", { class: "live" }, state, h("div", { class: "actions" }, again, button("Refresh", refresh, { class: "small" }))), list);
}

/** Refresh while the part is on the page and the page is seen; what was put away is forgotten. */
function watch(part, wanted, refresh) {
  const timer = setInterval(() => {
    if (part.isConnected && wanted() && document.visibilityState === "visible") refresh();
    else if (!part.isConnected) clearInterval(timer);
  }, EVERY);
}

function nobody() {
  return h("section", { class: "card" }, empty("No providers", "The configuration names none. Add [[providers]] to it, and start the gateway anew."));
}

function shown(provider) {
  const head = h(
    "header",
    {},
    h("div", { class: "stack tight" }, h("h2", {}, provider.name), h("small", {}, provider.wire === "sim" ? "Simulated, in this gateway" : [`Speaks ${provider.wire} · `, h("code", {}, provider.base_url)])),
    h("div", { class: "badges" }, access(provider)),
  );
  const columns = [
    { name: "Deployment", cell: (each) => h("code", {}, id(each.deployment)) },
    { name: "Breaker", phone: "figure", cell: (each) => badge(...(STATES[each.breaker] ?? [each.breaker])) },
    { name: "Openings", phone: "none", kind: "number", cell: (each) => each.openings },
    { name: "Errors", kind: "number", cell: (each) => known(each.error_rate, (rate) => (rate >= FAILING ? badge(share(rate), "bad") : share(rate))) },
    { name: "First token p50", kind: "number", cell: (each) => seconds(each.first_token) },
    { name: "First token p95", kind: "number", cell: (each) => seconds(each.first_token_p95) },
    { name: "Tokens a second", kind: "number", cell: (each) => known(each.tokens_per_second, compact) },
  ];
  const body = provider.deployments.length
    ? table(`Deployments at ${provider.name}`, columns, provider.deployments)
    : h("p", { class: "dim" }, "Nothing was asked of it yet. It is listed here from the first request on.");
  return h("section", { class: "card", "aria-label": provider.name }, head, body);
}

function access(provider) {
  if (provider.has_key) return badge("Key set", "good");
  if (provider.wire === "sim") return badge("Needs no key");
  return provider.byok_only ? badge("No key: for customers' own keys only", "warn") : badge("No key: a local server");
}

const known = (value, text) => (value === null || value === undefined ? "–" : text(value));
const seconds = (value) => known(value, (one) => duration(one * 1000));
