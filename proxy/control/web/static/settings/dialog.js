// The settings dialog: one for every page, its tab in the address (#settings/keys).

import { addressed } from "../core/address.js";
import { tabs } from "../core/choose.js";
import { h } from "../core/dom.js";
import { dialog } from "../core/ui.js";

const TABS = [
  ["credits", "Credits"],
  ["keys", "API Keys"],
  ["mcp", "MCP Tokens"],
  ["notifications", "Notifications"],
  ["llm", "LLM BYOK"],
  ["audio", "Audio BYOK"],
  ["models", "Preferred Models"],
  ["research", "Research"],
];
const PREFIX = "#settings/";
let choose = null;

/** Open the dialog at a tab, or go to the tab in the open one. */
export function show(name) {
  if (choose) return choose(name);
  const list = h("div", { id: "settings-tabs", class: "tabs upright", "aria-label": "Settings" });
  const panel = h("div", { id: "settings-panel", role: "tabpanel", tabindex: "0" });
  const shown = dialog("Settings", h("div", { class: "sides" }, list, panel), () => {
    choose = null;
    // Where the address opened it, nothing had the focus before.
    if (document.activeElement === document.body) document.querySelector("#gear").focus();
  });
  shown.classList.add("wide");
  const entries = TABS.map(([each, label]) => [each, label, async (part) => (await import(`./${each}.js`)).render(part)]);
  addressed(shown, PREFIX);
  choose = tabs(list, panel, entries, PREFIX.slice(1));
  choose(name);
  list.querySelector('[aria-selected="true"]').focus();
}
