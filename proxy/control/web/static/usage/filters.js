// Which requests are looked at. It is all in the address, so that a look can be passed on.

import { keep } from "../core/address.js";
import { get, search } from "../core/api.js";
import { choice, options } from "../core/choose.js";
import { fill, h, must } from "../core/dom.js";
import { dayAfter, daysAgo } from "../core/format.js";
import { complain, field, toggle } from "../core/ui.js";
import { nameOf, USAGE } from "./figures.js";

const PERIODS = [7, 30, 90];
const USUAL = { days: 30, by: "model", figure: "cost" };
const LISTS = [
  ["model", "Model"],
  ["provider", "Provider"],
  ["key", "Key"],
  ["project", "Project"],
];
const TEXTS = ["from", "to", "model", "key", "provider", "project", "request", "failed"];

/** Read the address. */
export function asked() {
  const given = new URLSearchParams(location.search);
  const texts = Object.fromEntries(TEXTS.map((name) => [name, given.get(name) ?? ""]));
  const days = Number(given.get("days"));
  return { ...texts, days: PERIODS.includes(days) ? days : USUAL.days, by: given.get("by") ?? USUAL.by, figure: given.get("figure") ?? USUAL.figure };
}

/** Write it; what is usual is left out. */
export function remember(state) {
  keep(told(state));
}

function told(state) {
  return Object.fromEntries(Object.entries(state).filter(([name, value]) => value !== USUAL[name] && !(name === "days" && state.from)));
}

/** The days that are looked at, both included. */
export function spanOf({ days, from, to }) {
  return from || to ? [from || daysAgo(USUAL.days - 1), to || daysAgo(0)] : [daysAgo(days - 1), daysAgo(0)];
}

/** What the API is asked. One request is looked for on all days. */
export function queryOf(state) {
  const { model, key, provider, project, request, failed } = state;
  const [since, through] = spanOf(state);
  return { ...(request ? {} : { since, until: dayAfter(through) }), model, key, provider, project, request: request.trim(), failed };
}

/** Fill a form with the filters; `changed` is called whenever one was. */
export function filters(form, state, changed) {
  const set = (values) => {
    Object.assign(state, values);
    remember(state);
    changed();
  };
  /** What changes the days is drawn anew: they say each other, and what there was in them. */
  const again = (values, focused) => {
    set(values);
    filters(form, state, changed);
    must(focused, form).focus();
  };
  fill(
    form,
    h("div", { class: "filters dates" }, period(state, again), dates(state, again), h("div", { class: "wider" }, request(state, set))),
    h("div", { class: "filters" }, LISTS.map(([name, label]) => list(name, label, state, set)), failures(state, set), clear(state)),
  );
  offer(form, state).catch(complain);
}

function period(state, again) {
  const days = state.from || state.to ? null : state.days;
  const made = choice("Last days", PERIODS.map((each) => [each, `${each} days`]), days, (each) =>
    again({ days: each, from: "", to: "" }, `button:nth-child(${PERIODS.indexOf(each) + 1})`),
  );
  return h("div", { class: "field" }, h("span", { class: "name" }, "Days (UTC)"), made);
}

function dates(state, again) {
  const [since, through] = spanOf(state);
  const dated = ({ target: { name, value } }) => {
    if (!value) return;
    const [from, to] = name === "from" ? [value, through < value ? value : through] : [since > value ? value : since, value];
    again({ from, to }, `[name="${name}"]`);
  };
  const date = (name, label, value) => field(label, h("input", { type: "date", name, value, max: daysAgo(0), onchange: dated }));
  return [date("from", "From", since), date("to", "Through", through)];
}

function request(state, set) {
  const input = h("input", { name: "request", value: state.request, placeholder: "X-Request-ID or gen_…", autocomplete: "off", spellcheck: "false", class: "code" });
  input.addEventListener("change", () => set({ request: input.value.trim() }));
  return field("Request", input);
}

function list(name, label, state, set) {
  return field(label, h("select", { name, onchange: (event) => set({ [name]: event.target.value }) }, entries(name, state[name], [])));
}

const failures = (state, set) => toggle("Failed only", state.failed === "true", (on) => set({ failed: on ? "true" : "" }));

/** The way to all requests of the usual days, looked at as now. */
function clear(state) {
  const bare = () => location.pathname + search(told({ ...state, ...Object.fromEntries(TEXTS.map((name) => [name, ""])), days: USUAL.days }));
  const made = h("a", { class: "clear", href: bare() }, "Clear filters");
  made.addEventListener("click", () => (made.href = bare()));
  return made;
}

const offered = { span: null, lists: null };

/** Fill the lists with what there was in these days, which is asked for once. */
async function offer(form, state) {
  const span = spanOf(state).join();
  if (offered.span !== span) Object.assign(offered, { span, lists: listsOf(...spanOf(state)) });
  for (const [name, found] of await offered.lists) fill(must(`select[name="${name}"]`, form), entries(name, state[name], found));
}

function listsOf(since, through) {
  const sums = ["model", "provider", "key"].map(async (by) => {
    const found = await get(USAGE, { by, since, until: dayAfter(through) });
    return [by, found.sums.filter((sum) => sum[by] !== null).map((sum) => [String(sum[by]), nameOf(sum, by)])];
  });
  const projects = get("/api/user/projects").then((found) => ["project", found.projects.map((each) => [each.name, each.name])]);
  const lists = Promise.all([...sums, projects]);
  lists.catch(() => (offered.span = null)); // what failed is asked for again
  return lists;
}

function entries(name, chosen, found) {
  const known = found.some(([value]) => value === chosen) || !chosen;
  return options([["", `All ${name}s`], ...(known ? [] : [[chosen, chosen]]), ...found], chosen);
}
