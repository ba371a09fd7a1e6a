// Buying credits: an amount, its price, then Stripe's page; and what became of an order on the way back.

import { get, post } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { creditsText, inDollars } from "../core/format.js";
import { button, field, submits } from "../core/ui.js";

const USUAL = [5, 10, 25, 50, 100];
const EVERY = 2000;
const TRIES = 45;

/** The form that leads to Stripe, for a gateway that sells by these terms. */
export function buyForm(terms) {
  const perCent = terms.credits_per_usd / 100;
  const [least, most] = [terms.least / terms.credits_per_usd, terms.most / terms.credits_per_usd];
  const usual = USUAL.filter((each) => each >= least && each <= most);
  const amount = h("input", { name: "dollars", type: "number", inputmode: "decimal", min: least, max: most, step: "0.01", value: usual[1] ?? least, required: true });
  const price = h("output", { for: "buy-amount", class: "dim" });
  const pay = h("button", { class: "primary" }, "Continue to Stripe");
  const bought = () => Math.round(Number(amount.value) * 100) * perCent;
  const tell = () => {
    const good = amount.checkValidity();
    fill(price, good ? `${creditsText(bought())} credits, paid once` : `From ${inDollars(terms.least)} to ${inDollars(terms.most)} an order.`);
    fill(pay, good ? `Pay ${inDollars(bought())} at Stripe` : "Continue to Stripe");
  };
  const choose = (value) => {
    amount.value = value;
    tell();
  };
  amount.id = "buy-amount";
  amount.addEventListener("input", tell);
  tell();
  const form = h(
    "form",
    { class: "stack" },
    field("Amount in US dollars", amount),
    h("div", { class: "actions start", role: "group", "aria-label": "Usual amounts" }, usual.map((each) => h("button", { type: "button", class: "small", onclick: () => choose(each) }, `$${each}`))),
    h("div", { class: "actions spread" }, price, pay),
    h("small", {}, "You pay on Stripe's page, and the credits are added once Stripe confirms, mostly within seconds."),
  );
  submits(form, async () => {
    const order = await post("/api/user/credits/checkout", { credits: String(bought()) });
    location.assign(order.url);
  });
  return form;
}

/** Tell in a part of the page what became of the order that the address names; `paid` is called when it is. */
export async function orderReturned(part, paid) {
  const asked = new URLSearchParams(location.search);
  const order = asked.get("order");
  if (order === null) return;
  const cancelled = asked.has("cancelled");
  history.replaceState(null, "", location.pathname + location.hash);
  if (cancelled) return void tell(part, "The payment was not made", "You came back from Stripe's page before paying. Nothing was charged, and nothing was bought.");
  await follow(part, order, paid);
}

async function follow(part, order, paid) {
  tell(part, "Waiting for Stripe", "Stripe is asked whether the payment is confirmed. You may leave this page: the credits come in any case.", h("progress", { "aria-label": "Waiting for Stripe" }));
  try {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const found = await get(`/api/user/credits/orders/${encodeURIComponent(order)}`);
      if (found.paid) {
        tell(part, "Paid, thank you", `${creditsText(found.credits)} credits are yours.`);
        return void paid();
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    }
    tell(part, "Not confirmed yet", ["Some ways to pay take longer. The credits are added by themselves once Stripe confirms; if they are not here tomorrow, name this order to the operator: ", h("code", {}, order)], again());
  } catch (error) {
    tell(part, "It is not known yet", [error.message, error.id && h("small", {}, " Request ", h("code", {}, error.id))], again());
  }
  function again() {
    return h("div", { class: "actions" }, button("Ask again", () => follow(part, order, paid)));
  }
}

function tell(part, title, text, more = null) {
  part.hidden = false;
  fill(part, h("div", { class: "note stack tight" }, h("strong", {}, title), h("p", {}, text), more));
}
