// A turn of the conversation as it stands on the page.

import { fill, h } from "../core/dom.js";
import { duration } from "../core/format.js";
import { prose } from "../core/prose.js";
import { copyButton, failure, field } from "../core/ui.js";
import { figures } from "./figures.js";

/** What was said by the person at the page. */
export function said(text) {
  return h("li", { class: "turn mine" }, h("h3", { class: "unseen" }, "You"), h("p", {}, text));
}

/**
 * The place of an answer: returns {element, update(answer), ended(answer, state)}.
 *
 * `state` is {error, stopped, facts, again, goOn}: what happened, what the gateway told of the request, and what can
 * be done next; `goOn(results)` is given the results of the tools that were called.
 */
export function replied(model) {
  const text = prose();
  const thought = thinking();
  const state = h("p", { class: "waiting" }, "Waiting for the first token");
  const tail = h("div", { class: "tail" });
  const element = h("li", { class: "turn", "aria-busy": "true" }, h("h3", {}, model), thought.element, text.element, state, tail);
  function update(answer) {
    thought.update(answer);
    text.write(answer.text);
    state.hidden = answer.first !== null;
  }
  function ended(answer, { error, stopped, facts, again, goOn }) {
    update(answer);
    state.remove();
    element.removeAttribute("aria-busy");
    fill(
      tail,
      answer.images > 0 && h("p", { class: "note" }, "The answer holds images. This page shows text alone."),
      answer.calls.length > 0 && called(answer.calls, goOn),
      error ? refused(error, facts) : ending(answer, stopped),
      facts && figures(answer, facts),
      h(
        "div",
        { class: "actions" },
        answer.text && copyButton(() => answer.text, "Copy answer"),
        again,
        facts?.id && h("span", { class: "id" }, h("small", { title: facts.id }, "Request ", h("code", {}, facts.id)), copyButton(() => facts.id, "Copy id")),
      ),
    );
  }
  return { element, update, ended };
}

function thinking() {
  const summary = h("summary", {}, "Reasoning");
  const body = h("p", {});
  const element = h("details", { class: "thought", hidden: true }, summary, body);
  function update(answer) {
    if (answer.reasoning === "") return;
    element.hidden = false;
    body.textContent = answer.reasoning;
    const until = answer.spoke ?? answer.over;
    summary.textContent = until === null ? "Reasoning …" : `Reasoned for ${duration(until - answer.first)}`;
  }
  return { element, update };
}

/** The tools that the model wants called, and fields for what comes of it. */
function called(calls, goOn) {
  const form = h(
    "form",
    { class: "stack calls", "aria-label": "Tool calls" },
    calls.map((call) => [
      h("div", { class: "stack tight" }, h("strong", {}, "Calls ", h("code", {}, call.name)), h("pre", { tabindex: "0", role: "region", "aria-label": `Arguments of ${call.name}` }, h("code", {}, pretty(call.text)))),
      goOn && result(call),
    ]),
    goOn && h("div", { class: "actions" }, h("button", {}, "Send the results")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    goOn();
  });
  return form;
}

function result(call) {
  return field(`Result of ${call.name}`, h("textarea", { rows: 2, "data-call": call.id }));
}

/** The results that stand in a turn's fields, as messages; the fields are closed by it. */
export function resultsOf(element) {
  const fields = [...element.querySelectorAll("[data-call]")];
  element.querySelector(".calls .actions")?.remove();
  for (const field of fields) field.readOnly = true;
  return fields.map((field) => ({ role: "tool", tool_call_id: field.dataset.call, content: field.value }));
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // a stop may have cut it
  }
}

const ENDINGS = {
  length: "The answer was cut: it reached the most tokens it may have.",
  content_filter: "The provider's content filter ended the answer.",
};

function ending(answer, stopped) {
  const text = stopped ? "You stopped the answer." : ENDINGS[answer.finish];
  if (text) return h("p", { class: "dim" }, text);
  return answer.text === "" && answer.calls.length === 0 && h("p", { class: "dim" }, "The answer is empty.");
}

const HELP = {
  402: ["Add credits", "/credits"],
  403: ["See the models", "/models"],
  404: ["See the models", "/models"],
};

function refused(error, facts) {
  const shown = failure(facts?.id ? { message: error.message } : error); // the id stands below otherwise
  const help = HELP[error.status];
  if (help) shown.append(h("a", { href: help[1] }, help[0]));
  return shown;
}
