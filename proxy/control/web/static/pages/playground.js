// The playground: a conversation with a model, as an application would have it.

import { fill, h, must } from "../core/dom.js";
import { creditsText } from "../core/format.js";
import { empty } from "../core/ui.js";
import { Answer } from "../playground/answer.js";
import { ask, booked } from "../playground/ask.js";
import { showCode } from "../playground/code.js";
import { factsOf, summary } from "../playground/figures.js";
import { options, requestOf } from "../playground/options.js";
import { replied, resultsOf, said } from "../playground/turn.js";

const AT_END = 48; // pixels from the end within which the page follows what is written
const DOUBLE = 400; // ms in which a second click is no wish to stop
const STARTERS = ["Explain in two sentences what a headrace is.", "Write a haiku about running water.", "List three uses of a water wheel as JSON."];

const log = must("#log");
const list = must("#turns");
const composer = must("#composer");
const input = must("#message");
const action = must("button", composer);
const heard = must("#heard");
const settings = options(must("#options"));

/** What was said, what is being answered, the turn that was answered last, and what it all came to. */
const fresh = () => ({ messages: [], running: null, last: null, cost: 0, answers: 0 });
let conversation = fresh();

/** Do something that makes the conversation longer, and follow its end unless somebody reads further up. */
function following(work) {
  const at = log.scrollHeight - log.scrollTop - log.clientHeight < AT_END;
  work();
  if (at) log.scrollTop = log.scrollHeight;
}

function begin() {
  conversation.running?.stop.abort();
  conversation = fresh();
  busy(false);
  const start = (text) => h("button", { type: "button", class: "small", onclick: () => write(text) }, text);
  fill(list, h("li", { class: "nothing" }, empty("Ask a model", "What you send is a request like any other: it is routed, limited and paid for with the account's credits.", STARTERS.map(start))));
  spent();
}

function write(text) {
  input.value = text;
  input.focus();
}

function send(text) {
  const set = settings.read();
  if (set === null) return;
  settle();
  list.querySelector(".nothing")?.remove();
  if (text) {
    conversation.messages.push({ role: "user", content: text });
    list.append(said(text));
  }
  input.value = "";
  reply(set);
}

/** Give the tools' results that stand on the page to the conversation. */
function settle() {
  const last = conversation.last;
  conversation.last = null;
  if (!last) return;
  last.querySelector(".again")?.remove();
  conversation.messages.push(...resultsOf(last));
}

async function reply(set) {
  const here = conversation;
  const before = [...here.messages];
  const answer = new Answer();
  const turn = replied(set.model);
  const stop = new AbortController();
  here.running = { stop, since: performance.now() };
  busy(true);
  list.append(turn.element);
  log.scrollTop = log.scrollHeight;
  if (document.activeElement === document.body) ready(); // the button that was pressed is gone
  const end = await listened(requestOf(set, before), answer, turn, stop.signal);
  if (here !== conversation) return; // another one has begun
  here.running = null;
  busy(false);
  const whole = !end.stopped && !end.error;
  const message = answer.message(whole);
  if (message) here.messages.push(message);
  here.last = turn.element;
  const again = h("button", { type: "button", class: "small again", onclick: () => anew(before, turn.element) }, end.error ? "Try again" : "Ask again");
  const goOn = message?.tool_calls ? () => send("") : null;
  following(() => turn.ended(answer, { ...end, again, goOn }));
  told(answer, end);
}

/** Send the request and draw what comes; returns how it ended. */
async function listened(request, answer, turn, signal) {
  let headers = null;
  let complete = false;
  let error = null;
  const paint = painter(() => answer.over === null && following(() => turn.update(answer)));
  try {
    complete = await ask(request, signal, (given) => (headers = given), (chunk) => {
      answer.take(chunk);
      paint();
    });
    if (!complete && answer.finish === null) error = new Error("The answer broke off before it was complete. Try again.");
  } catch (caught) {
    if (!signal.aborted) error = caught;
  }
  answer.end();
  if (error && !error.id && headers) error.id = headers.get("x-request-id");
  following(() => turn.update(answer));
  const facts = headers && (answer.first !== null || signal.aborted) ? await facted(headers, answer) : null;
  return { error, stopped: signal.aborted, facts };
}

async function facted(headers, answer) {
  const known = answer.usage && headers.has("x-gateway-provider");
  const generation = headers.get("x-generation-id");
  const record = known || !generation ? null : await booked(generation).catch(() => null);
  return factsOf(headers, answer.usage, record);
}

/** Draw at most once a frame. */
function painter(draw) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      draw();
    });
  };
}

/** Ask the same again; what was answered is forgotten. */
function anew(messages, element) {
  const set = settings.read();
  if (set === null) return;
  conversation.messages = messages;
  conversation.last = null;
  element.remove();
  reply(set);
}

function told(answer, { error, stopped, facts }) {
  if (facts?.cost) conversation.cost += facts.cost;
  conversation.answers += 1;
  spent();
  if (error) return; // it is an alert of its own
  heard.textContent = `${stopped ? "Stopped" : "Answered"}: ${summary(answer, facts)}. ${answer.text.slice(0, 600)}`;
}

function spent() {
  const { answers, cost } = conversation;
  must("#spent").textContent = answers === 0 ? "" : `${answers === 1 ? "1 answer" : `${answers} answers`} · ${creditsText(cost)} credits`;
}

function busy(is) {
  action.textContent = is ? "Stop" : "Send";
  action.classList.toggle("primary", !is);
}

/** To where the next message is written; but a finger's keyboard would cover half of the page. */
function ready() {
  if (matchMedia("(hover: hover)").matches) input.focus();
}

function halt() {
  const { stop, since } = conversation.running;
  if (performance.now() - since > DOUBLE) stop.abort();
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (conversation.running) return halt();
  const text = input.value.trim();
  if (text === "") return input.focus();
  return send(text);
});

input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!conversation.running) composer.requestSubmit();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && conversation.running && !document.querySelector("dialog[open]")) halt();
});

must("#code").addEventListener("click", () => {
  const set = settings.read();
  if (set !== null) showCode(requestOf(set, wanted(input.value.trim())));
});

/** The messages that would be sent now; where nothing is written, those that were sent last. */
function wanted(text) {
  const { messages } = conversation;
  if (text) return [...messages, { role: "user", content: text }];
  if (messages.length === 0) return [{ role: "user", content: "Hello!" }];
  return messages.at(-1).role === "assistant" ? messages.slice(0, -1) : messages;
}

must("#anew").addEventListener("click", () => {
  begin();
  ready();
});

begin();
ready();
