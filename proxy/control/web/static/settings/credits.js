// The tab of credits.

import { h } from "../core/dom.js";
import { skeleton } from "../core/ui.js";
import { noBalance } from "../parts/balance.js";
import { credits, ledgerHead, termsOfSale } from "../parts/credits.js";

export async function render() {
  const terms = await termsOfSale();
  const parts = {
    balance: h("div", {}, noBalance()),
    buy: h("div", { class: terms.selling ? "stack place-form" : "stack" }),
    redeem: h("div", { class: "stack" }),
    ledger: h("div", {}, skeleton(12)),
  };
  credits(parts, terms);
  return h(
    "div",
    { class: "stack" },
    parts.balance,
    h("div", { class: "grid after" }, framed(parts.buy), framed(parts.redeem)),
    h("section", { class: "card after" }, ledgerHead(), parts.ledger),
  );
}

function framed(inner) {
  return h("section", { class: "card" }, inner);
}
