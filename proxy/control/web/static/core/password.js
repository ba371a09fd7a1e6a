// "Is it still you?": asks for the password before something that matters.

import { h } from "./dom.js";
import { dialog, field, submits } from "./ui.js";

/** Ask until `prove` takes the password or the asking is given up; return whether it was taken. */
export function askPassword(prove) {
  return new Promise((resolve) => {
    let taken = false;
    const input = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
    const form = h(
      "form",
      { class: "stack" },
      h("p", {}, "What you are about to do needs your password again. It then counts for ten minutes."),
      field("Password", input),
      h("div", { class: "actions" }, h("button", { class: "primary" }, "Confirm")),
    );
    const shown = dialog("Confirm that it is you", form, () => resolve(taken));
    submits(form, async () => {
      await prove(input.value);
      taken = true;
      shown.close();
    });
    input.focus();
  });
}
