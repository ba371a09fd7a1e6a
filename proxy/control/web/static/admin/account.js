// One account, in a dialog: how it stands, and what an administrator may do to it.

import { del, get, post, put } from "../core/api.js";
import { options } from "../core/choose.js";
import { h } from "../core/dom.js";
import { credits, when } from "../core/format.js";
import { badge, facts, id } from "../core/pieces.js";
import { askBefore, button, dialog, field, load, say, showOnce, skeleton } from "../core/ui.js";
import { askFor, standing } from "./parts.js";

export const ACCOUNTS = "/api/admin/accounts";

/** Show an account; `changed` is called whenever something of it is. */
export function showAccount(number, changed = () => {}) {
  const part = h("div", { class: "stack account" }, skeleton(8));
  const shown = dialog(`Account ${number}`, part);
  const again = () => load(part, async () => told(...(await Promise.all([get(`${ACCOUNTS}/${number}`), get("/api/auth/me")])), acts));
  const acts = {
    /** Do something to the account, say so, and show it anew. */
    async done(work, text) {
      const found = await work(`${ACCOUNTS}/${number}`);
      say(text);
      changed();
      again();
      return found;
    },
    async remove() {
      await del(`${ACCOUNTS}/${number}`);
      say("The account is deleted.");
      changed();
      shown.close();
    },
  };
  again();
}

/** A choice of the configuration's plans. */
export async function planChoice(chosen) {
  const { plans } = await get("/api/admin/plans");
  const names = new Set([...plans.map((plan) => plan.name), chosen]);
  return field("Plan", h("select", { name: "plan" }, options([...names].map((name) => [name, name]), chosen)), "What all its keys may use together.");
}

function told(account, me, acts) {
  const own = account.account === me.account;
  return [
    h("p", { class: "headline" }, h("strong", {}, id(account.email)), " ", standing(account.status), account.admin && [" ", badge("Administrator")], own && [" ", badge("You")], h("small", {}, "Made ", when(account.created_at * 1000))),
    facts([
      ["Available", credits(account.available, true)],
      ["Held", credits(account.held, true)],
      ["Balance", credits(account.posted, true)],
      ["Plan", account.plan === account.plan_applied ? account.plan : `${account.plan}, which is gone: ${account.plan_applied} counts`],
      ["Keys", account.keys],
      ["Projects", account.projects],
    ]),
    account.status === "closed" ? closed() : section("Credits and plan", [grant(account, acts), adjust(account, acts), plan(account, acts)]),
    account.status !== "closed" && section("Signing in", [own ? ownPassword() : password(account, acts), role(account, own, acts)]),
    section("Ending it", own ? ownNote() : ends(account, acts)),
  ];
}

const section = (title, content) => h("section", { class: "stack tight" }, h("h3", {}, title), h("div", { class: "actions" }, content));
const closed = () => h("p", { class: "note" }, "This account is closed for good: its keys have ended, and nobody signs in. Its credits stay in the books.");
const ownNote = () => h("p", { class: "note" }, "This is your own account. Another administrator may block, close or delete it, or ", h("code", {}, "headrace accounts"), " on the gateway's machine.");

function grant(account, acts) {
  const amount = h("input", { name: "credits", inputmode: "decimal", required: true });
  return button("Grant credits", () =>
    askFor(`Grant credits to ${account.email}`, field("Credits", amount), "Grant", (data) =>
      acts.done((one) => post(`${one}/grant`, { credits: data.get("credits").trim() }), "The credits are granted."),
    ),
  );
}

function adjust(account, acts) {
  return button("Adjust", () => {
    const amount = h("input", { name: "credits", inputmode: "text", required: true, placeholder: "-12.5" });
    const reason = h("input", { name: "reason", maxlength: 200, required: true });
    const content = [
      field("Credits, with their sign", amount, "Below zero takes; no more can be taken than is available."),
      field("Reason", reason, "The account holder reads it in the ledger."),
    ];
    askFor(`Adjust the credits of ${account.email}`, content, "Adjust", (data) =>
      acts.done((one) => post(`${one}/adjust`, { credits: data.get("credits").trim(), reason: data.get("reason").trim() }), "The credits are adjusted."),
    );
  });
}

function plan(account, acts) {
  return button("Change plan", async () =>
    askFor(`The plan of ${account.email}`, await planChoice(account.plan), "Change the plan", (data) =>
      acts.done((one) => put(`${one}/plan`, { plan: data.get("plan") }), "The plan counts from now on."),
    ),
  );
}

const ownPassword = () => h("a", { class: "button", href: "/password" }, "Change your password");

function password(account, acts) {
  const text = "A password for one use is made and shown once; the one it has now ends, and so do all its sessions.";
  return button("Reset password", () =>
    askBefore(`Reset the password of ${account.email}?`, text, "Reset the password", async () => {
      const made = await acts.done((one) => post(`${one}/password`), "The password is reset.");
      showOnce(`The password of ${account.email}`, [["For one use", made.password]]);
    }),
  );
}

function role(account, own, acts) {
  const [action, text] = account.admin
    ? ["Remove administrator role", "It keeps its keys and credits, and no longer sees this page. Its sessions end. The last administrator stays one."]
    : ["Make administrator", "It may do all that this page offers, to you as well. Its sessions end."];
  return button(action, () =>
    askBefore(`${action}: ${account.email}?`, own ? `${text} This is you: you are signed out.` : text, action, async () => {
      await acts.done((one) => put(`${one}/role`, { admin: !account.admin }), "The role is changed.");
    }),
  );
}

function ends(account, acts) {
  const status = (value, text) => acts.done((one) => put(`${one}/status`, { status: value }), text);
  const block = button("Block", () =>
    askBefore(`Block ${account.email}?`, "It spends nothing until it is unblocked, and what it has running ends now. Its keys stay as they are.", "Block", () => status("blocked", "The account is blocked.")),
  );
  const unblock = button("Unblock", () => status("active", "The account may spend again."));
  const close = button("Close", () =>
    askBefore(`Close ${account.email} for good?`, "Its keys end and nobody signs in; this cannot be taken back. Its credits stay in the books. While it has requests running it is refused: block it first, which ends them.", "Close for good", () => status("closed", "The account is closed.")),
  );
  return [
    account.status === "active" && block,
    account.status === "blocked" && unblock,
    account.status !== "closed" && close,
    button("Delete", () => askBefore(`Delete ${account.email}?`, deletion(), "Delete for good", acts.remove)),
  ];
}

function deletion() {
  return [
    "It is closed, and its address, password, keys, projects, provider keys, preferences, notices, payments and the record of its requests are deleted. ",
    "What stays: the amounts in the books, under its number and without a name, and the audit log, which holds no addresses. This cannot be taken back.",
  ];
}
