// The tab of API keys.

import { h } from "../core/dom.js";
import { keys, newKeyButton } from "../parts/keys.js";

export async function render() {
  const part = h("div");
  await keys(part);
  return h("div", { class: "stack" }, h("div", { class: "actions" }, newKeyButton(() => keys(part))), part);
}
