// The page of administration: its tabs, each a module that is loaded when it is chosen.

import { tabs } from "../core/choose.js";
import { must } from "../core/dom.js";

const TABS = [
  ["accounts", "Accounts"],
  ["providers", "Providers"],
  ["models", "Models"],
  ["plans", "Plans"],
  ["codes", "Codes"],
  ["audit", "Audit"],
  ["configuration", "Configuration"],
];

const entries = TABS.map(([name, label]) => [name, label, async (part) => (await import(`../admin/${name}.js`)).render(part)]);
const choose = tabs(must("#admin-tabs"), must("#admin-panel"), entries);
const named = () => location.hash.slice(1);

// The settings dialog has the address for itself; the tab below it stays.
window.addEventListener("hashchange", () => TABS.some(([name]) => name === named()) && choose(named()));
choose(named());
