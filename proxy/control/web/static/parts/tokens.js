// MCP tokens: the list, making one, revoking.

import { del, get, post } from "../core/api.js";
import { h } from "../core/dom.js";
import { when } from "../core/format.js";
import { badge } from "../core/pieces.js";
import { table } from "../core/table.js";
import { askBefore, button, dialog, empty, field, load, say, showOnce, small, submits } from "../core/ui.js";

const TOKENS = "/api/user/mcp-tokens";

/** Fill a part of a page with the account's MCP tokens. */
export function tokens(part) {
  const again = () => tokens(part);
  return load(part, async () => {
    const found = (await get(TOKENS)).keys;
    if (found.length === 0) return empty("No MCP tokens yet", "A token lets a tool that speaks MCP work for your account, and opens nothing else: no model is asked by it.", newTokenButton(again));
    const columns = [
      { name: "Name", cell: (token) => h("span", {}, token.name || "Unnamed", " ", token.revoked && badge("Revoked", "bad")) },
      { name: "Token", phone: "bare", cell: (token) => h("code", {}, token.shown) },
      { name: "Made", cell: (token) => when(token.created_at * 1000) },
      { name: "Actions", kind: "actions", phone: "figure", cell: (token) => !token.revoked && revokeButton(token, again) },
    ];
    return table("MCP tokens", columns, found);
  });
}

/** A button that makes a token; `again` is called when there is one more. */
export function newTokenButton(again) {
  return button("New token", () => create(again), { class: "primary" });
}

function create(again) {
  const name = h("input", { name: "name", maxlength: 256, placeholder: "Where it is used", autocomplete: "off" });
  const form = h("form", { class: "stack" }, field("Name", name), h("div", { class: "actions" }, h("button", { class: "primary" }, "Make the token")));
  const shown = dialog("New MCP token", form);
  submits(form, async (data) => {
    const made = await post(TOKENS, { name: data.get("name").trim() });
    shown.close();
    again();
    showOnce("Your new MCP token", [[null, made.key]]);
  });
}

function revokeButton(token, again) {
  const name = token.name || token.shown;
  const revoke = async () => {
    await del(`${TOKENS}/${token.id}`);
    say("The token is revoked.");
    again();
  };
  return small("Revoke", name, () => askBefore(`Revoke ${name}?`, "What uses the token is no longer let in.", "Revoke", revoke));
}
