// The usage explorer: filters, sums, the requests themselves.

import { onReturn } from "../core/address.js";
import { get, search } from "../core/api.js";
import { choice } from "../core/choose.js";
import { fill, h, must } from "../core/dom.js";
import { pages } from "../core/table.js";
import { empty, renew } from "../core/ui.js";
import { BY, explorer } from "../usage/explorer.js";
import { FIGURES } from "../usage/figures.js";
import { asked, filters, queryOf, remember } from "../usage/filters.js";
import { columnsOf, REQUESTS, showAsked } from "../usage/requests.js";

const PAGE = 25;
const FIGURE = [
  ["cost", "Credits"],
  ["requests", "Requests"],
  ["tokens", "Tokens"],
];
const state = {};
const form = must("#filters");
const csv = must("#csv");

function sums() {
  return renew(must("#sums"), () => explorer(state, narrow));
}

function requests() {
  const query = queryOf(state);
  csv.href = REQUESTS + search({ ...query, format: "csv" });
  const nothing = empty("No requests", "None matches. Records are kept for as long as the operator says; older ones are in the sums alone.", h("a", { class: "button", href: "/playground" }, "Make one in the playground"));
  const next = async (before) => {
    const found = await get(REQUESTS, { ...query, before, limit: PAGE });
    return { rows: found.requests, cursor: found.next };
  };
  return renew(must("#requests"), (part) => pages(part, "Requests", columnsOf(), next, nothing));
}

function all() {
  sums();
  requests();
}

/** Look at one day, model, key or provider alone. */
function narrow(by, value) {
  Object.assign(state, by === "day" ? { from: value, to: value } : { [by]: value });
  remember(state);
  filters(form, state, all);
  all();
  form.scrollIntoView({ block: "nearest" });
}

const look = (name) => (value) => {
  state[name] = value;
  remember(state);
  sums();
};

function begin() {
  Object.assign(state, asked());
  if (!BY.some(([name]) => name === state.by)) state.by = "model";
  if (!(state.figure in FIGURES)) state.figure = "cost";
  fill(must("#looks"), choice("Summed by", BY, state.by, look("by")), choice("Figure", FIGURE, state.figure, look("figure")));
  filters(form, state, all);
  all();
}

form.addEventListener("submit", (event) => event.preventDefault());
begin();
onReturn(begin);
showAsked();
