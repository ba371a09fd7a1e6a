// The configuration and the books: checked, gone by anew, proven.

import { get, post, Refused, sentence } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { number } from "../core/format.js";
import { badge, facts } from "../core/pieces.js";
import { table } from "../core/table.js";
import { button } from "../core/ui.js";
import { card, verdict } from "./parts.js";

export async function render() {
  return h("div", { class: "stack" }, file(), reload(), books());
}

function file() {
  const result = h("div", { class: "result" });
  const text = "The settings are read as a start would read them: what is wrong keeps a gateway from starting, what is odd does not. Nothing is changed.";
  return card("Configuration", text, button("Check the file", () => during(result, async () => findings(await post("/api/admin/config/check")))), result);
}

function reload() {
  const result = h("div", { class: "result" });
  const text = "Go by the settings as they are in the file now. They are checked first; no connection is lost, and running requests end by the old ones.";
  const act = () =>
    during(result, async () => {
      const found = await post("/api/admin/config/reload");
      return found.ok ? [verdict(true, "The workers go by the new settings, one after the other."), list("Odd", found.remarks)] : findings(found);
    });
  return card("Reload", text, button("Reload", act), result);
}

function books() {
  const result = h("div", { class: "result" });
  const text = "Every balance is added up anew from the journal and the open holds, the chains of hashes are followed, the file is read. It goes on while the gateway serves.";
  return card("Books", text, button("Verify", () => during(result, async () => proof(await get("/api/admin/verify")))), result);
}

/** Show that something is on its way, then what came of it; what the gateway does not do here is no failure. */
async function during(result, work) {
  fill(result, h("p", { class: "dim", role: "status" }, "Working …"));
  try {
    fill(result, await work());
  } catch (error) {
    fill(result);
    if (!(error instanceof Refused) || error.status !== 400) throw error;
    fill(result, h("p", { class: "note", role: "status" }, error.message));
  }
}

function findings({ ok, problems, remarks }) {
  const good = remarks.length ? "A gateway starts with it; what is odd is below." : "A gateway starts with it, and nothing is odd.";
  return [verdict(ok, good, "A gateway does not start with it."), list("Wrong", problems), list("Odd", remarks)];
}

function list(title, texts) {
  return texts.length > 0 && h("div", { class: "stack tight" }, h("h3", {}, title), h("ul", { class: "findings" }, texts.map((each) => h("li", {}, each))));
}

function proof({ ok, open_holds, drift_nanousd, invariants, audit, file: kept }) {
  const rows = [
    ...Object.entries(invariants).map(([name, found]) => ({ name, ...found })),
    { name: "Log", means: "the audit log's entries are as they were written, and none is missing", ...audit },
    { name: "File", means: "the database can be read, all of it", ...kept },
  ];
  const columns = [
    { name: "Name", cell: (row) => row.name },
    { name: "What has to hold", phone: "bare", cell: (row) => h("span", { class: "stack tight" }, sentence(row.means), row.detail && h("small", {}, row.detail)) },
    { name: "Holds", phone: "figure", cell: (row) => badge(row.ok ? "Yes" : "No", row.ok ? "good" : "bad") },
  ];
  return [
    verdict(ok, "Every invariant holds.", "What does not hold is marked below. Keep a copy of the database before anything else is done."),
    facts([["Open holds", number(open_holds)], ["Drift", `${number(drift_nanousd)} nano-USD`]]),
    table("Invariants", columns, rows),
  ];
}
