// The overview: what there is to spend, what was spent, how requests went.

import { keep, onReturn } from "../core/address.js";
import { get } from "../core/api.js";
import { choice } from "../core/choose.js";
import { fill, h, must } from "../core/dom.js";
import { compact, count, credits, creditsText, daysAgo, duration, inDollars, number, share } from "../core/format.js";
import { stat } from "../core/pieces.js";
import { table } from "../core/table.js";
import { load, renew, say } from "../core/ui.js";
import { folded, steps } from "../overview/start.js";
import { everyDay, latencyChart, partsChart, requestsChart, together, USAGE } from "../usage/figures.js";
import { columnsOf, REQUESTS, showAsked } from "../usage/requests.js";

const PERIODS = [7, 30, 90];
const LATEST = 6;
const SPANS = [
  [1, "Spent today"],
  [7, "Spent in 7 days"],
  [30, "Spent in 30 days"],
];
const madeKey = () => say("The key is made.");
const USUAL = 30;
let period = USUAL;

const coming = new Map();

/** Sums of days; two parts that ask for the same at once are told the same. */
function daysSince(since) {
  if (!coming.has(since)) coming.set(since, get(USAGE, { by: "day", since, latency: true }).finally(() => coming.delete(since)));
  return coming.get(since);
}

function money() {
  return load(must("#money"), async () => {
    const [balance, { sums }] = await Promise.all([get("/api/user/credits/balance"), daysSince(daysAgo(29))]);
    const held = balance.held > 0 ? `${creditsText(balance.held)} held by requests that run` : "None held";
    return h(
      "dl",
      { class: "stats" },
      stat("Available", [credits(balance.available), h("small", {}, " credits")], `${inDollars(balance.available)} · ${held}`, balance.available <= 0 && h("a", { href: "/credits" }, "Get credits")),
      SPANS.map(([days, name]) => {
        const { cost, requests } = together(sums.filter((sum) => sum.day >= daysAgo(days - 1)));
        return stat(name, [credits(cost), h("small", {}, " credits")], `${inDollars(cost)} · ${number(requests)} ${requests === 1 ? "request" : "requests"}`);
      }),
    );
  });
}

/** What the chosen days came to. Where there never was a request, how to make one instead. */
function work() {
  const [since, through] = [daysAgo(period - 1), daysAgo(0)];
  return renew(must("#work"), async () => {
    const [days, parts, all] = await Promise.all([
      daysSince(since),
      get(USAGE, { by: "day", split: "model", since }),
      get(USAGE, { by: "all", since, latency: true }),
    ]);
    if (all.sums.length === 0 && !(await everUsed())) return beginning();
    const every = everyDay(since, through, days.sums);
    return [
      figures(all.sums[0] ?? together([])),
      h("section", { class: "card", "aria-label": "Credits spent" }, partsChart("cost", "model", since, through, parts.sums)),
      h(
        "div",
        { class: "grid" },
        h("section", { class: "card", "aria-label": "Requests" }, requestsChart(every)),
        h("section", { class: "card", "aria-label": "Time to first token" }, latencyChart(every)),
      ),
    ];
  });
}

const everUsed = async () => (await get(USAGE, { by: "all" })).sums.length > 0;

function figures(all) {
  const { requests, failed, prompt_tokens, completion_tokens, first_token_p50, first_token_p95 } = all;
  return h(
    "dl",
    { class: "stats" },
    stat("Requests", count(requests), `${compact(requests / period)} a day`),
    stat("Error rate", requests ? share(failed / requests) : "–", `${number(failed)} failed`),
    stat("Time to first token", duration(first_token_p50), `Median · 95th: ${duration(first_token_p95)}`),
    stat("Tokens", count(prompt_tokens + completion_tokens), ["In ", count(prompt_tokens), " · out ", count(completion_tokens)]),
  );
}

function latest() {
  return load(must("#latest"), async () => {
    const { requests } = await get(REQUESTS, { limit: LATEST });
    if (requests.length > 0) return table("Latest requests", columnsOf(false), requests);
    return h("p", { class: "dim" }, "None yet, or none whose record is still kept.");
  });
}

function beginning() {
  fill(must("#period"));
  must("#work-title").textContent = "Your first request";
  must("#recent").hidden = true;
  must("#start").hidden = true;
  return h("section", { class: "card", "aria-labelledby": "work-title" }, steps(madeKey));
}

fill(must("#start"), folded(madeKey));

/** Look at the days that the address names. */
function begin() {
  const asked = Number(new URLSearchParams(location.search).get("days"));
  period = PERIODS.includes(asked) ? asked : USUAL;
  const entries = PERIODS.map((days) => [days, `${days} days`]);
  fill(must("#period"), choice("Period", entries, period, chosen));
  work();
}

function chosen(days) {
  period = days;
  keep({ days: days === USUAL ? "" : days });
  work();
}

money();
begin();
onReturn(begin);
latest();
showAsked();
