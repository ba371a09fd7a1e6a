// Credits as a whole: what there is, ways to more, what moved. Shared by the page and the settings dialog.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { load } from "../core/ui.js";
import { balance } from "./balance.js";
import { buyForm } from "./buy.js";
import { ledger, ledgerFile } from "./ledger.js";
import { redeemForm } from "./redeem.js";

/** Ask by what terms credits are sold. */
export const termsOfSale = () => get("/api/user/credits/terms");

/** Fill the parts {balance, buy, redeem, ledger}; return what fills anew those that change. */
export function credits(parts, terms = termsOfSale()) {
  const again = () => Promise.all([balance(parts.balance), ledger(parts.ledger)]);
  load(parts.buy, async () => ways(await terms));
  load(parts.redeem, () => [h("h2", {}, "Redeem a code"), redeemForm(again)]);
  again();
  return again;
}

/** The heading of the ledger, with its file. */
export function ledgerHead() {
  return h("header", {}, h("h2", {}, "Movements"), ledgerFile());
}

function ways(terms) {
  const title = h("h2", {}, "Buy credits");
  if (terms.selling) return [title, buyForm(terms)];
  return [title, h("p", { class: "dim" }, "This gateway sells no credits. Its operator gives them, or codes for them.")];
}
