// What is set of a request beside its messages.

import { fill, must } from "../core/dom.js";
import { field } from "../core/ui.js";
import { modelBox } from "../parts/models.js";
import { strategies } from "../parts/strategies.js";

const OURS = ["model", "messages", "stream", "stream_options"];

/** Fill the part with its controls; returns {read}, which tells what they say, or says what is wrong and tells null. */
export function options(part) {
  const model = modelBox({ label: "Model", value: preset(), chosen: keepModel });
  const strategy = strategies("Default");
  fill(must("#model", part), model.element);
  fill(must("#strategy", part), field("Strategy", strategy));
  const more = must("#more", part);
  more.addEventListener("click", () => show(more.getAttribute("aria-expanded") !== "true"));
  function show(open) {
    more.setAttribute("aria-expanded", String(open));
    part.classList.toggle("open", open);
  }
  const control = (name) => must(`[name="${name}"]`, part);
  function wrong(name, text) {
    const input = control(name);
    show(true);
    input.setCustomValidity(text);
    input.addEventListener("input", () => input.setCustomValidity(""), { once: true });
    input.reportValidity();
    return null;
  }
  function read() {
    const [temperature, most, more] = [numeral(control("temperature")), numeral(control("max_tokens")), parsed(control("fields").value)];
    const ours = OURS.find((name) => more && name in more);
    if (!(temperature === null || (temperature >= 0 && temperature <= 2))) return wrong("temperature", "A number from 0 to 2.");
    if (!(most === null || (Number.isInteger(most) && most > 0))) return wrong("max_tokens", "A whole number above 0.");
    if (more === null) return wrong("fields", "This is no JSON object.");
    if (ours) return wrong("fields", `The page itself sets ${ours}: leave it out.`);
    return {
      model: model.input.value.trim() || "auto",
      system: control("system").value.trim(),
      sampling: { ...(temperature !== null && { temperature }), ...(most !== null && { max_tokens: most }) },
      strategy: strategy.value,
      more,
    };
  }
  return { read };
}

/** Write the request that these options make of a conversation. */
export function requestOf({ model, system, sampling, strategy, more }, messages) {
  const all = system ? [{ role: "system", content: system }, ...messages] : messages;
  const body = { model, messages: all, ...sampling, ...more, stream: true, stream_options: { include_usage: true } };
  return { body, strategy, more };
}

const preset = () => new URLSearchParams(location.search).get("model") || "auto";

/** The address names the model, so that it can be kept and handed on. */
function keepModel(id) {
  const at = new URL(location);
  at.searchParams.set("model", id);
  history.replaceState(null, "", at);
}

/** A number, NaN where there is something else, or null where there is nothing. */
function numeral(input) {
  if (input.validity.badInput) return NaN;
  return input.value === "" ? null : Number(input.value);
}

/** The object that JSON text is, or null where it is none. */
function parsed(text) {
  try {
    const value = JSON.parse(text.trim() || "{}");
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
