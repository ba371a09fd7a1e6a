// What the requests that are looked at came to: a chart of days, and a table of whatever they are summed by.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { count, credits, day, duration, share } from "../core/format.js";
import { id } from "../core/pieces.js";
import { table } from "../core/table.js";
import { empty } from "../core/ui.js";
import { dayChart, everyDay, FIGURES, nameOf, partsChart, USAGE } from "./figures.js";
import { queryOf, spanOf } from "./filters.js";

export const BY = [
  ["model", "Model"],
  ["provider", "Provider"],
  ["key", "Key"],
  ["day", "Day"],
];
const SHOWN = 100;

/** Make it; `narrow(by, value)` looks at one of the sums alone. */
export async function explorer(state, narrow) {
  const { by, figure, request } = state;
  const query = queryOf(state);
  const [since, through] = spanOf(state);
  const [days, { sums }] = await Promise.all([
    get(USAGE, { by: "day", split: by === "day" ? null : by, ...query }),
    get(USAGE, { by, latency: true, ...query }),
  ]);
  if (sums.length === 0) return empty("No requests", request ? "None has this id, or its record is no longer kept." : "Nothing matches in these days. Choose more of them, or fewer filters.");
  const span = request ? ends(days.sums) : [since, through];
  const drawn = by === "day" ? dayChart(figure, everyDay(...span, days.sums)) : partsChart(figure, by, ...span, days.sums);
  return [drawn, sumsTable(by, figure, sums, narrow)];
}

const ends = (sums) => [sums[0].day, sums.at(-1).day];

function sumsTable(by, figure, sums, narrow) {
  const value = FIGURES[figure][2];
  const rows = by === "day" ? sums.toReversed() : sums.toSorted((one, other) => value(other) - value(one));
  const heading = BY.find(([name]) => name === by)[1];
  const columns = [
    { name: by === "day" ? "Day (UTC)" : heading, cell: (sum) => named(sum, by, narrow) },
    { name: "Requests", kind: "number", cell: (sum) => count(sum.requests) },
    { name: "Failed", kind: "number", cell: (sum) => share(sum.failed / sum.requests) },
    { name: "First token", kind: "number", cell: (sum) => h("span", { title: "Median" }, duration(sum.first_token_p50)) },
    { name: "95th", phone: "none", kind: "number", cell: (sum) => h("span", { title: "95th percentile of the time to the first token" }, duration(sum.first_token_p95)) },
    { name: "Tokens in", kind: "number", cell: (sum) => count(sum.prompt_tokens) },
    { name: "Out", kind: "number", cell: (sum) => count(sum.completion_tokens) },
    { name: "Credits", kind: "number", phone: "figure", cell: (sum) => credits(sum.cost) },
  ];
  const rest = rows.length > SHOWN && h("p", { class: "dim" }, `The first ${SHOWN} of ${rows.length}: choose fewer days, or a filter, to see the others.`);
  return [table(`Sums by ${by}`, columns, rows.slice(0, SHOWN)), rest];
}

function named(sum, by, narrow) {
  if (by === "day") return h("button", { type: "button", class: "link", onclick: () => narrow(by, sum.day) }, day(sum.day));
  const name = nameOf(sum, by);
  if (sum[by] === null) return h("span", { class: "dim", title: "No provider answered, or the record is no longer kept" }, name);
  return h("button", { type: "button", class: "link", title: `Only ${name}`, onclick: () => narrow(by, String(sum[by])) }, id(name));
}
