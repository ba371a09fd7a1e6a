// What an account has: to spend, held by requests that run, and all of it.

import { get } from "../core/api.js";
import { h } from "../core/dom.js";
import { credits, inDollars } from "../core/format.js";
import { stat } from "../core/pieces.js";
import { load } from "../core/ui.js";

const FIGURES = [
  ["available", "Available", "to spend now"],
  ["held", "Held", "by requests that run"],
  ["balance", "Total", "available and held"],
];

/** Fill a part of a page with the account's balance. */
export function balance(part) {
  return load(part, async () => figures(await get("/api/user/credits/balance")));
}

/** What stands in the place of a balance, and of its height, until it is there. */
export const noBalance = () => figures({});

function figures(found) {
  return h("dl", { class: "stats three" }, FIGURES.map((figure) => shown(found, ...figure)));
}

function shown(found, name, label, meaning) {
  const value = found[name];
  const [whole, dollars] = value === undefined ? ["–", "–"] : [credits(value), inDollars(value)];
  return stat(label, [whole, h("small", {}, " credits")], `${dollars} · ${meaning}`);
}
