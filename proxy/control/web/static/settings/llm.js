// The tab of an account's own keys at providers of models.

import { put } from "../core/api.js";
import { flip } from "../core/choose.js";
import { h } from "../core/dom.js";
import { say } from "../core/ui.js";
import { kept, ownKeys } from "../parts/own-keys.js";

const WITHOUT = {
  title: "No keys of your own yet",
  text: "Add the key that you have at a provider. It is tried at once, by a request that costs nothing.",
};

export async function render() {
  const part = h("div", { class: "stack" });
  const found = await kept();
  const without = found.llm_providers.length ? WITHOUT : { title: "No provider takes keys here", text: "The operator has set up no provider of models. Once there is one, you can keep your own key for it here." };
  await ownKeys(part, { purpose: "llm", without }, found);
  return h("div", { class: "stack" }, h("p", { class: "dim" }, "Where you keep a key of your own, models of that provider are asked with it: the provider bills you, and no credits are taken. Your usage counts such requests all the same."), part, payment(found.fallback));
}

function payment(fallback) {
  const save = async (on) => {
    await put("/api/user/byok/fallback", { fallback: on });
    say(on ? "Credits pay where your key cannot." : "Your key alone is used now.");
  };
  return h(
    "section",
    { class: "card stack" },
    flip("Fall back to credits", fallback, save, "Let the gateway's own key answer, for credits, when yours cannot."),
    h(
      "dl",
      { class: "meanings" },
      h("dt", {}, "Off"),
      h("dd", {}, "Only your key is tried. When the provider refuses it or fails, the request fails; no credits are held or taken."),
      h("dt", {}, "On"),
      h("dd", {}, "Your key is tried first. When it fails, another way to the same model may answer. Credits are held for that from the start of the request, and taken only if that other way answers."),
      h("dt", {}, "Either way"),
      h("dd", {}, "Models of providers for which you keep no key cost credits, as ever."),
    ),
  );
}
