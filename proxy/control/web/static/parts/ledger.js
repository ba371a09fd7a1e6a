// Every movement of credits, newest first.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { credits, when } from "../core/format.js";
import { pages } from "../core/table.js";
import { empty } from "../core/ui.js";

const LEDGER = "/api/user/credits/transactions";
const PAGE = 25;
const KINDS = {
  settle: "Request",
  topup: "Bought",
  signup: "Starting credits",
  admin: "Given by the operator",
  code: "Code redeemed",
  adjust: "Corrected by the operator",
};
const COLUMNS = [
  { name: "Movement", cell: (row) => KINDS[row.kind] ?? row.kind },
  { name: "Reference", phone: "last", cell: reference },
  { name: "When", phone: "bare", cell: (row) => h("span", { class: "figure" }, when(row.at)) },
  { name: "Credits", kind: "number", phone: "figure", cell: amount },
];

/** Fill a part of a page with the ledger. */
export function ledger(part) {
  const nothing = empty("Nothing moved yet", "Each request that costs something, each purchase and each code is listed here, with what it did to your balance.");
  const next = async (before) => {
    const found = await get(LEDGER, { before, limit: PAGE });
    return { rows: found.transactions, cursor: found.next };
  };
  return pages(part, "Movements of credits", COLUMNS, next, nothing);
}

/** The link to all of it as a file. */
export function ledgerFile() {
  return h("a", { href: `${LEDGER}?format=csv`, download: "transactions.csv" }, "Download as CSV");
}

function reference(row) {
  if (!row.reference) return h("span", { class: "dim" }, "–");
  if (row.kind === "topup" || row.kind === "code") return h("code", { title: row.reference }, ending(row.reference));
  if (row.kind !== "settle") return h("small", {}, row.reference);
  const place = `/usage?request=${encodeURIComponent(row.reference)}`;
  return h("a", { href: place, title: row.reference, "aria-label": `Request ${row.reference}` }, h("code", {}, ending(row.reference)));
}

const ending = (text) => `…${text.slice(-8)}`;

function amount(row) {
  return h("span", { class: row.amount > 0 ? "gain" : null }, row.amount > 0 ? "+" : "", credits(row.amount));
}
