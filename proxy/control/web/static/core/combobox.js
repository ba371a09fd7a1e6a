// A text field with a list of what can be chosen, found as one types (w3.org/WAI/ARIA/apg/patterns/combobox).

import { fill, freshId, h } from "./dom.js";
import { field } from "./ui.js";

const PAUSE = 150; // ms without a key before anything is asked for

/**
 * Make a labelled combobox: {label, hint, value, find, option, chosen, optional, ...properties of the input}.
 *
 * `find(text)` returns a promise of rows {id, ...}; `option(row)` what stands in the list. `chosen(id)` is called
 * when a row was chosen, and when other text was left in the field or entered: ids that nobody lists can be asked for.
 * Where it is `optional` the field may be left empty; else it takes back what was in it.
 * Returns {element, input}; the element is a field, as `field` makes them.
 */
export function combobox({ label, hint = null, value = "", find, option, chosen = () => {}, optional = false, ...properties }) {
  const id = freshId();
  const list = h("ul", { id, role: "listbox", "aria-label": label, hidden: true });
  const input = inputOf(id, value, properties);
  const state = { input, list, find, option, rows: [], active: -1, asked: 0, timer: 0, kept: value, optional };
  const take = (text) => {
    shut(state);
    input.value = text;
    if (text === state.kept) return;
    state.kept = text;
    chosen(text);
  };
  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => look(state, ""));
  input.addEventListener("input", () => {
    clearTimeout(state.timer);
    state.active = -1; // what was found before is not what is being typed
    state.timer = setTimeout(() => look(state, input.value.trim()), PAUSE);
  });
  input.addEventListener("keydown", (event) => pressed(state, event, take));
  input.addEventListener("blur", () => take(left(state)));
  // The field keeps the focus while the list is used by mouse or finger.
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[data-id]");
    if (row) take(row.dataset.id);
  });
  const element = field(label, input, hint);
  const around = h("div", { class: "combobox" });
  input.replaceWith(around);
  around.append(input, list);
  return { element, input };
}

function inputOf(list, value, properties) {
  return h("input", {
    ...properties,
    value,
    type: "text",
    role: "combobox",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": list,
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
  });
}

async function look(state, text) {
  const turn = ++state.asked;
  const shown = (...rows) => {
    if (turn !== state.asked || document.activeElement !== state.input) return;
    fill(state.list, rows);
    open(state);
  };
  try {
    const rows = await state.find(text);
    if (turn !== state.asked) return;
    state.rows = rows;
    shown(rows.length ? rows.map((row, place) => entry(state, row, place)) : remark("Nothing is listed by that name."));
    if (rows.length) point(state, nearest(rows, text || state.kept, text ? 0 : -1));
  } catch (error) {
    state.rows = [];
    shown(remark(error.message));
  }
}

function nearest(rows, id, otherwise) {
  const place = rows.findIndex((row) => row.id === id);
  return place < 0 ? otherwise : place;
}

function entry(state, row, place) {
  return h("li", { role: "option", id: `${state.list.id}-${place}`, "data-id": row.id, "aria-selected": "false" }, state.option(row));
}

const remark = (text) => h("li", { role: "option", "aria-disabled": "true", "aria-selected": "false", class: "dim" }, text);

function pressed(state, event, take) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const shown = !state.list.hidden;
  if (step) {
    event.preventDefault();
    if (shown) point(state, (state.active + step + state.rows.length) % (state.rows.length || 1));
    else look(state, "");
  } else if (event.key === "Enter") {
    // Enter chooses; it does not send the form that the field may stand in.
    event.preventDefault();
    clearTimeout(state.timer);
    take(shown && state.active >= 0 ? state.rows[state.active].id : left(state));
  } else if (event.key === "Escape" && shown) {
    // A dialog below stays open.
    event.preventDefault();
    event.stopPropagation();
    state.input.value = state.kept;
    shut(state);
  }
}

/** What the text in the field comes to. */
const left = ({ input, optional, kept }) => input.value.trim() || (optional ? "" : kept);

function open(state) {
  state.active = -1;
  state.list.hidden = false;
  state.input.setAttribute("aria-expanded", "true");
}

function shut(state) {
  state.asked++;
  clearTimeout(state.timer);
  state.active = -1;
  state.list.hidden = true;
  state.input.setAttribute("aria-expanded", "false");
  state.input.removeAttribute("aria-activedescendant");
}

function point(state, place) {
  state.active = place;
  state.rows.forEach((_, each) => state.list.children[each]?.setAttribute("aria-selected", String(each === place)));
  const row = place >= 0 ? state.list.children[place] : null;
  if (!row) return state.input.removeAttribute("aria-activedescendant");
  state.input.setAttribute("aria-activedescendant", row.id);
  return row.scrollIntoView({ block: "nearest" });
}
