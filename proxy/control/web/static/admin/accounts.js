// Accounts: found by address, listed page by page, made.

import { get, post } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { credits, since } from "../core/format.js";
import { badge, id } from "../core/pieces.js";
import { pages } from "../core/table.js";
import { button, empty, field, say, showOnce, small, toggle } from "../core/ui.js";
import { ACCOUNTS, planChoice, showAccount } from "./account.js";
import { askFor, standing } from "./parts.js";

const PAGE = 50;
const PAUSE = 250;

export async function render() {
  const list = h("div", { class: "accounts" });
  const search = h("input", { type: "search", autocomplete: "off", spellcheck: "false", maxlength: 200 });
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(again, PAUSE);
  });
  const again = () => show(list, search.value.trim(), again);
  const tools = h(
    "div",
    { class: "filters" },
    h("div", { class: "wider" }, field("Search by e-mail", search)),
    button("New account", () => create(again), { class: "primary" }),
  );
  again();
  return h("section", { class: "card", "aria-label": "Accounts" }, tools, list);
}

function show(list, search, again) {
  const columns = [
    { name: "E-mail", cell: (each) => h("span", {}, id(each.email), each.admin && [" ", badge("Administrator")]) },
    { name: "Status", phone: "bare", cell: (each) => standing(each.status) },
    { name: "Plan", cell: (each) => planText(each) },
    { name: "Available", kind: "number", cell: (each) => credits(each.available) },
    { name: "Held", phone: "none", kind: "number", cell: (each) => credits(each.held) },
    { name: "Keys", kind: "number", cell: (each) => each.keys },
    { name: "Projects", phone: "none", kind: "number", cell: (each) => each.projects },
    { name: "Made", phone: "none", cell: (each) => since(each.created_at * 1000) },
    { name: "Actions", kind: "actions", phone: "figure", cell: (each) => small("Manage", each.email, () => showAccount(each.account, again)) },
  ];
  const nothing = search
    ? empty("No account is found", `No address has “${search}” in it.`)
    : empty("No accounts yet", "Make one, and give whom it is for the password that is shown.");
  // A part of its own: what is still on its way for another search comes too late to be seen.
  const part = h("div");
  fill(list, part);
  return pages(part, "Accounts", columns, (after) => page(after, search), nothing);
}

async function page(after, search) {
  const found = await get(ACCOUNTS, { after, search, limit: PAGE });
  return { rows: found.accounts, cursor: found.next };
}

function planText(account) {
  if (account.plan === account.plan_applied) return account.plan;
  return h("span", { title: `The configuration has no plan ${account.plan}` }, account.plan, " ", badge(`counts as ${account.plan_applied}`, "warn"));
}

async function create(again) {
  const email = h("input", { name: "email", type: "email", autocomplete: "off", required: true, maxlength: 254 });
  const amount = h("input", { name: "credits", inputmode: "decimal", value: "0", required: true });
  const admin = toggle("Administrator", false, () => {}, "May see this page and do all that it offers.");
  const content = [
    field("E-mail", email),
    h("div", { class: "columns" }, field("Starting credits", amount, "Beside those that every new account gets."), await planChoice("default")),
    admin,
    h("p", { class: "dim" }, "A password for one use is made and shown once; it is replaced at the first sign-in."),
  ];
  askFor("New account", content, "Make the account", async (data) => {
    const box = admin.querySelector("input");
    const made = await post(ACCOUNTS, { email: data.get("email").trim(), credits: data.get("credits").trim(), plan: data.get("plan"), admin: box.checked });
    const password = made.password ?? (await post(`${ACCOUNTS}/${made.account}/password`)).password;
    again();
    say("The account is made.");
    showOnce(`The password of ${made.email}`, [["For one use", password]]);
  });
}
