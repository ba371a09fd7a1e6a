// How providers are chosen for a request, by the names that requests and keys give it.

import { options } from "../core/choose.js";
import { h } from "../core/dom.js";

const STRATEGIES = [
  ["balanced", "Balanced"],
  ["cheapest", "Cheapest first"],
  ["fastest", "Fastest first"],
  ["quality", "Best first"],
  ["failover", "In order, with fail-over"],
  ["hedge", "Hedge when slow"],
  ["race", "Race providers"],
  ["single", "One provider, no retry"],
];

/** A choice of them; `none` is what no choice is called. */
export function strategies(none, chosen = null) {
  return h("select", { name: "strategy" }, options([["", none], ...STRATEGIES], chosen ?? ""));
}
