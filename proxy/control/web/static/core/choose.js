// One of several: tabs, buttons in a row, the entries of a list. And switches that count at once.

import { fill, h } from "./dom.js";
import { complain, load, skeleton, toggle } from "./ui.js";

/** Tabs: [name, label, make]; the chosen one is in the address as `prefix` and its name. */
export function tabs(list, panel, entries, prefix = "") {
  const made = entries.map(([name, label, make], place) => {
    const tab = h("button", { role: "tab", type: "button", id: `${list.id}-${name}`, "aria-controls": panel.id }, label);
    tab.addEventListener("click", () => {
      history.replaceState(null, "", `#${prefix}${name}`);
      choose(name);
    });
    tab.addEventListener("keydown", (event) => beside(event, made, place));
    return { name, tab, make };
  });
  function choose(name) {
    const chosen = made.find((each) => each.name === name) ?? made[0];
    for (const each of made) {
      each.tab.setAttribute("aria-selected", String(each === chosen));
      each.tab.tabIndex = each === chosen ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", chosen.tab.id);
    intoView(chosen.tab, list);
    // A part of its own: what was on its way for the tab before comes too late to be seen.
    const part = h("div", {}, skeleton(4));
    fill(panel, part);
    load(part, () => chosen.make(part));
  }
  list.setAttribute("role", "tablist");
  fill(list, made.map((each) => each.tab));
  return choose;
}

function beside(event, made, place) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = made[(place + step + made.length) % made.length].tab;
  next.focus();
  next.click();
}

/** Within the list: the page itself stays where it is. */
function intoView(tab, list) {
  const [inner, frame] = [tab.getBoundingClientRect(), list.getBoundingClientRect()];
  list.scrollLeft += Math.min(inner.left - frame.left, 0) + Math.max(inner.right - frame.right, 0);
}

/** Buttons of which one is chosen: [value, label], and what to do with the value of another. */
export function choice(label, entries, value, chosen) {
  const made = entries.map(([each, text]) => {
    const button = h("button", { type: "button", class: "small", "aria-pressed": String(each === value) }, text);
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-pressed") === "true") return;
      for (const other of made) other.setAttribute("aria-pressed", String(other === button));
      chosen(each);
    });
    return button;
  });
  return h("div", { class: "choice", role: "group", "aria-label": label }, made);
}

/** The entries of a list: [value, label]. */
export function options(entries, chosen = "") {
  return entries.map(([value, label]) => h("option", { value, selected: value === chosen }, label));
}

/** A switch that counts at once: `save(on)` keeps it; where that is refused, the switch goes back. */
export function flip(label, on, save, hint) {
  const change = async (wanted, box) => {
    box.disabled = true;
    try {
      await save(wanted);
    } catch (error) {
      box.checked = !wanted;
      complain(error);
    } finally {
      box.disabled = false;
    }
  };
  return toggle(label, on, change, hint);
}
