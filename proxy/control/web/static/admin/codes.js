// Codes that are worth credits once: made many at a time, listed without being told.

import { get, post } from "../core/api.js";
import { h } from "../core/dom.js";
import { credits, day, daysAgo, when } from "../core/format.js";
import { badge, id } from "../core/pieces.js";
import { pages } from "../core/table.js";
import { button, empty, field, showOnce } from "../core/ui.js";
import { askFor, card } from "./parts.js";

const CODES = "/api/admin/codes";
const PAGE = 50;

export async function render() {
  const list = h("div");
  const again = () => show(list, again);
  await again();
  const text = "Whoever redeems one first has its credits. Only a keyed hash of a code is kept, so they are listed by its first digits.";
  return card("Codes", text, button("Make codes", () => create(again), { class: "primary" }), list);
}

function show(list, again) {
  const columns = [
    { name: "Code", cell: (code) => h("code", {}, code.id) },
    { name: "Credits", kind: "number", phone: "figure", cell: (code) => credits(code.credits) },
    { name: "State", phone: "bare", cell: state },
    { name: "Made", cell: (code) => when(code.created_at * 1000) },
    { name: "Note", phone: "bare", cell: (code) => code.note || "–" },
  ];
  const nothing = empty("No codes yet", "Make some, and hand them out: each is worth its credits to whoever redeems it first.", button("Make codes", () => create(again)));
  return pages(list, "Codes", columns, page, nothing);
}

async function page(before) {
  const found = await get(CODES, { before, limit: PAGE });
  return { rows: found.codes, cursor: found.next };
}

function state(code) {
  if (code.redeemed_at) return h("span", {}, badge("Redeemed"), " ", code.redeemed_by ? id(code.redeemed_by) : "an account that is deleted", h("small", {}, " ", when(code.redeemed_at * 1000)));
  if (code.expires_at && code.expires_at * 1000 <= Date.now()) return badge("Expired", "warn");
  if (code.expires_at) return h("span", {}, badge("Open", "good"), h("small", {}, ` through ${lastDay(code.expires_at)} (UTC)`));
  return badge("Open", "good");
}

/** The last UTC day before a moment, which is the day's end. */
const lastDay = (seconds) => day(new Date((seconds - 1) * 1000).toISOString().slice(0, 10));

function create(again) {
  const content = [
    h(
      "div",
      { class: "columns" },
      field("Credits of each", h("input", { name: "credits", inputmode: "decimal", required: true })),
      field("How many", h("input", { name: "count", type: "number", min: 1, max: 1000, value: 1, required: true }), "At most 1,000 at once."),
    ),
    field("Good through (UTC)", h("input", { name: "expires", type: "date", min: daysAgo(0) }), "Empty is for ever."),
    field("Note", h("input", { name: "note", maxlength: 200, autocomplete: "off" }), "What they are for; whoever redeems one does not see it."),
  ];
  askFor("Make codes", content, "Make the codes", async (data) => {
    const made = await post(CODES, { credits: data.get("credits").trim(), count: Number(data.get("count")), expires: data.get("expires") || null, note: data.get("note").trim() });
    again();
    told(made);
  });
}

function told({ codes, credits: each }) {
  const text = codes.join("\n");
  const save = h("div", { class: "actions" }, button("Download as a text file", () => download("codes.txt", `${text}\n`)));
  showOnce(codes.length === 1 ? "Your code" : `Your ${codes.length} codes`, [[["Each is worth ", credits(each, true)], text]], save);
}

function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
