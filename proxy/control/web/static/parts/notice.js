// What a notice says: for the list behind the bell.

import { h } from "../core/dom.js";
import { creditsText, number } from "../core/format.js";

const WHERE = { key: "/keys", project: "/projects" };

/** Put a notice into words: {title, text, more}, where `more` is a link to what helps, or null. */
export function worded(notice) {
  const detail = notice.detail;
  if (notice.kind === "low_balance") return low(detail);
  if (notice.kind === "budget_reached") return used(detail);
  return { title: notice.kind.replaceAll("_", " "), text: Object.entries(detail).map(([name, value]) => `${name}: ${value}`).join(", "), more: null };
}

function low({ available, threshold }) {
  return {
    title: "Your credits are running low",
    text: `${creditsText(Number(available))} credits were left; you asked to be told below ${creditsText(Number(threshold))}.`,
    more: h("a", { href: "/credits" }, "To the credits"),
  };
}

function used({ scope, id, name, unit, used: spent, limit }) {
  const whose = scope === "account" ? "your account" : `the ${scope} ${name || `number ${id}`}`;
  const share = unit === "usd" ? `$${spent} of $${limit}` : `${number(Number(spent))} of ${number(Number(limit))} tokens`;
  return {
    title: "A daily budget is used up",
    text: `${share} are used by ${whose}. What goes beyond is refused until midnight UTC.`,
    more: WHERE[scope] ? h("a", { href: WHERE[scope] }, `To the ${scope}s`) : null,
  };
}
