// What is looked at, in the address: it can be handed on, and back and forward lead through it.

import { search } from "./api.js";

let shown = null;

/** Write what is looked at. Back leads to what was before, unless that was only `refined`, as words while one types. */
export function keep(query, refined = false) {
  const wanted = search(query);
  if (wanted === location.search) return;
  shown = wanted;
  const place = location.pathname + wanted + location.hash;
  if (refined) history.replaceState(null, "", place);
  else history.pushState(null, "", place);
}

/** Call `work` whenever back or forward led to something else to look at. */
export function onReturn(work) {
  shown = location.search;
  window.addEventListener("popstate", () => {
    if (location.search === shown) return; // a dialog with an address came or went
    shown = location.search;
    work();
  });
}

/** Close a dialog when its address is left, and leave the address when it is closed. `entered` is whether back does. */
export function addressed(dialog, prefix, entered = false) {
  const here = () => location.hash.startsWith(prefix);
  const left = () => here() || dialog.close();
  window.addEventListener("hashchange", left);
  dialog.addEventListener("close", () => {
    window.removeEventListener("hashchange", left);
    if (!here()) return;
    if (entered) history.back();
    else history.replaceState(null, "", location.pathname + location.search);
  });
}
