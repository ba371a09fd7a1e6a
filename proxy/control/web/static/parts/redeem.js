// A code that is worth credits once.

import { post } from "../core/api.js";
import { h } from "../core/dom.js";
import { creditsText } from "../core/format.js";
import { field, say, submits } from "../core/ui.js";

/** The form for a code; `changed` is called when it was worth something. */
export function redeemForm(changed) {
  const input = h("input", { name: "code", required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false", maxlength: 256, class: "code" });
  const form = h("form", { class: "stack" }, field("Code", input, "As you were given it. Each works once."), h("div", { class: "actions" }, h("button", {}, "Redeem the code")));
  submits(form, async (data) => {
    const { available } = await post("/api/user/credits/redeem", { code: data.get("code").trim() });
    form.reset();
    say(`The code is redeemed: ${creditsText(available)} credits are available.`);
    changed();
  });
  return form;
}
