// Sums of requests as charts: days without any are there too, and days come in parts.

import { chart } from "../core/chart.js";
import { compact, creditsText, dayShort, daysFrom, duration } from "../core/format.js";

export const USAGE = "/api/user/usage";
const NOTHING = { requests: 0, failed: 0, prompt_tokens: 0, completion_tokens: 0, cost: 0, first_token_p50: null, first_token_p95: null };

/** What can be looked at: [title, how it is written, what it is of a sum]. */
export const FIGURES = {
  cost: ["Credits spent", creditsText, (sum) => sum.cost],
  requests: ["Requests", compact, (sum) => sum.requests],
  tokens: ["Tokens", compact, (sum) => sum.prompt_tokens + sum.completion_tokens],
};

/** Sums of days, with those on which nothing happened. */
export function everyDay(since, through, sums) {
  const found = new Map(sums.map((sum) => [sum.day, sum]));
  return daysFrom(since, through).map((day) => found.get(day) ?? { ...NOTHING, day });
}

/** All of some sums. */
export function together(sums) {
  const all = { ...NOTHING };
  for (const sum of sums) for (const name of ["requests", "failed", "prompt_tokens", "completion_tokens", "cost"]) all[name] += sum[name];
  return all;
}

/** What a sum is of: a model, a key, a provider. */
export function nameOf(sum, by) {
  if (sum.other) return "Others";
  if (by === "key") return sum.name ?? `Key ${sum.key}`;
  return sum[by] ?? "None";
}

/** A chart of days in parts, those that came to most first. */
export function partsChart(figure, by, since, through, sums) {
  const [title, text, value] = FIGURES[figure];
  const days = new Map(daysFrom(since, through).map((day) => [day, { day, parts: new Map() }]));
  const totals = new Map();
  for (const sum of sums) {
    const name = nameOf(sum, by);
    const parts = days.get(sum.day)?.parts;
    parts?.set(name, (parts.get(name) ?? 0) + value(sum));
    totals.set(name, (totals.get(name) ?? 0) + value(sum));
  }
  const others = (name) => (name === "Others" ? 1 : 0);
  const names = [...totals.keys()].sort((one, other) => others(one) - others(other) || totals.get(other) - totals.get(one));
  const series = names.map((name, place) => ({ name, mark: "bar", tone: name === "Others" ? 5 : place + 1, value: (point) => point.parts.get(name) ?? 0 }));
  return drawn(title, [...days.values()], series.length ? series : [{ name: title, mark: "bar", tone: 1, value: () => 0 }], text, `by ${by}`);
}

/** A chart of one figure of days. */
export function dayChart(figure, days) {
  const [title, text, value] = FIGURES[figure];
  return drawn(title, days, [{ name: title, mark: "bar", tone: 1, value }], text);
}

/** Requests of days, those that failed apart. */
export function requestsChart(days) {
  const series = [
    { name: "Completed", mark: "bar", tone: 1, value: (day) => day.requests - day.failed },
    { name: "Failed", mark: "bar", tone: 2, value: (day) => day.failed },
  ];
  return drawn("Requests", days, series, compact);
}

/** Time to the first token of days: half of the requests, and all but the slowest twentieth, were as quick. */
export function latencyChart(days) {
  const series = [
    { name: "Median", mark: "line", tone: 1, value: (day) => day.first_token_p50 },
    { name: "95th percentile", mark: "line", tone: 2, value: (day) => day.first_token_p95 },
  ];
  return drawn("Time to first token", days, series, duration);
}

const drawn = (title, points, series, text, about = null) => chart({ title, points, series, text, about, label: (point) => dayShort(point.day) });
