// The page of credits.

import { must } from "../core/dom.js";
import { orderReturned } from "../parts/buy.js";
import { credits } from "../parts/credits.js";

const part = (name) => must(`#${name}`);
const again = credits({ balance: part("balance"), buy: part("buy"), redeem: part("redeem"), ledger: part("ledger") });
orderReturned(part("order"), again);
