// The tab of MCP tokens.

import { h } from "../core/dom.js";
import { newTokenButton, tokens } from "../parts/tokens.js";

export async function render() {
  const part = h("div");
  await tokens(part);
  const note = h(
    "p",
    { class: "note" },
    "The MCP server itself is not there yet: ",
    h("code", {}, `${location.origin}/api/mcp/v1`),
    " answers 501. Tokens that you make now will be good for it.",
  );
  return h("div", { class: "stack" }, note, h("div", { class: "actions" }, newTokenButton(() => tokens(part))), part);
}
