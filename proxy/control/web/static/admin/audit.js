// The audit log: who did what to whom, and what became of it.

import { get } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { when } from "../core/format.js";
import { badge } from "../core/pieces.js";
import { pages } from "../core/table.js";
import { button, empty } from "../core/ui.js";
import { showAccount } from "./account.js";
import { card, verdict } from "./parts.js";

const PAGE = 100;
const OUTCOMES = {
  done: ["Done", "good"],
  refused: ["Refused", "warn"],
  failed: ["Failed", "bad"],
};

export async function render() {
  const list = h("div");
  const result = h("div", { class: "result" });
  const columns = [
    { name: "Entry", phone: "none", cell: (entry) => entry.seq },
    { name: "When", phone: "bare", cell: (entry) => when(entry.at) },
    { name: "Who", phone: "bare", cell: (entry) => actor(entry.actor) },
    { name: "What", phone: "title", cell: (entry) => h("code", {}, entry.action) },
    { name: "To whom", cell: (entry) => (entry.detail.account ? account(entry.detail.account) : "–") },
    { name: "Detail", phone: "bare", cell: (entry) => details(entry.detail) },
    { name: "Outcome", phone: "figure", cell: (entry) => badge(...(OUTCOMES[entry.outcome] ?? ["Not noted", "warn"])) },
  ];
  await pages(list, "Audit log", columns, paired(), empty("Nothing was done yet", "What administrators and operators change is noted here, before it is begun and after it."));
  const text = "What was changed by administrators, operators and account holders, newest first. Each entry holds the hash of the one before it, so that none can be changed or left out unseen; it holds no address and no secret.";
  return card("Audit log", text, button("Check the chain", () => check(result)), result, list);
}

async function check(result) {
  fill(result, h("p", { class: "dim", role: "status" }, "Every entry is read and its hash made anew …"));
  try {
    const { audit } = await get("/api/admin/verify");
    fill(result, verdict(audit.ok, "Every entry is as it was written, and none is missing.", `${audit.detail}. Keep a copy of the database before anything else is done.`));
  } catch (error) {
    fill(result);
    throw error;
  }
}

/** Pages of the log in which what was asked and what became of it are one row. */
function paired() {
  const outcomes = new Map();
  return async (before) => {
    const found = await get("/api/admin/audit", { before, limit: PAGE });
    const rows = [];
    for (const entry of found.entries) {
      if (entry.asked !== null) outcomes.set(entry.asked, entry);
      else rows.push(joined(entry, outcomes.get(entry.seq)));
    }
    return { rows, cursor: found.next };
  };
}

function joined(entry, end) {
  return end ? { ...entry, outcome: end.outcome, detail: { ...entry.detail, ...end.detail } } : entry;
}

function actor(name) {
  const number = /^account (\d+)$/.exec(name)?.[1];
  if (number) return account(Number(number));
  return { operator: "Operator", registration: "Registration" }[name] ?? name;
}

function account(number) {
  return button(`Account ${number}`, () => showAccount(number), { class: "link whole" });
}

function details(detail) {
  const rows = Object.entries(detail).filter(([name]) => name !== "account").flatMap(([name, value]) => flat(name, value));
  return rows.length ? h("dl", { class: "pairs" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, value)))) : "–";
}

/** A member as names and texts; what has members of its own is one pair for each. */
function flat(name, value) {
  if (Array.isArray(value)) return [[name, value.join(", ")]];
  if (value !== null && typeof value === "object") return Object.entries(value).flatMap(([inner, each]) => flat(inner, each));
  if (typeof value === "boolean") return [[name, value ? "yes" : "no"]];
  if (/_at$/.test(name) && Number(value) > 0) return [[name, when(Number(value) * 1000)]];
  return [[name, value === null ? "none" : String(value)]];
}
