// The page of models: what is looked for is in the address.

import { keep, onReturn } from "../core/address.js";
import { options } from "../core/choose.js";
import { fill, h, must } from "../core/dom.js";
import { number } from "../core/format.js";
import { renew } from "../core/ui.js";
import { models } from "../models/list.js";

const USUAL = "offered";
const PAUSE = 150; // ms without a key before anything is asked for
const form = must("#search");
const fields = new Map([...form.elements].filter((each) => each.name).map((each) => [each.name, each]));
let timer = 0;

const query = () => Object.fromEntries([...fields].map(([name, each]) => [name, each.value.trim()]));

function changed(refined = false) {
  const { sort, ...asked } = query();
  keep({ ...asked, sort: sort === USUAL ? "" : sort }, refined);
  find();
}

async function find() {
  clearTimeout(timer);
  let found = null;
  const shown = await renew(must("#models"), (part) => models(part, query(), (first) => (found = first)));
  if (shown && found) tell(found);
}

function tell({ total, providers, capabilities }) {
  must("#found").textContent = total === 1 ? "1 model" : `${number(total)} models`;
  offer("provider", "All providers", providers);
  offer("capability", "Any", capabilities);
}

/** Fill a list once with what there is. */
function offer(name, all, values) {
  const select = fields.get(name);
  if (select.options.length > 2) return;
  const chosen = select.value;
  fill(select, h("option", { value: "" }, all), options(values.map((each) => [each, each.replaceAll("_", " ")]), chosen));
}

/** Take what the address says. */
function read() {
  const given = new URLSearchParams(location.search);
  for (const [name, each] of fields) {
    const value = given.get(name) ?? (name === "sort" ? USUAL : "");
    if (each instanceof HTMLSelectElement && ![...each.options].some((option) => option.value === value)) each.append(h("option", { value }, value));
    each.value = value;
  }
}

fields.get("q").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => changed(true), PAUSE);
});
for (const [name, each] of fields) if (name !== "q") each.addEventListener("change", () => changed());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  changed();
});
onReturn(() => {
  read();
  find();
});
read();
find();
