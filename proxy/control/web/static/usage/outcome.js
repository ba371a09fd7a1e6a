// How a request ended, in a badge and in a sentence.

import { badge } from "../core/pieces.js";

const OUTCOMES = {
  ok: ["Completed", "good", "The model answered to the end."],
  client_abort: ["Stopped", "", "The application closed the connection before the answer was complete. What had been sent until then is what it cost."],
  upstream_error: ["Provider failed", "bad", "No provider gave a complete answer. The attempts below say how each failed; what was not sent cost nothing."],
  insufficient_credits: ["Out of credits", "warn", "The credits did not suffice to begin, or to go on. What had been sent until then is what it cost."],
  refused: ["Refused", "warn", "The gateway refused it before anything was sent to a provider: a limit, a constraint, or something in the request. It cost nothing."],
  shutdown: ["Gateway stopped", "bad", "The gateway was stopped or restarted while the answer was on its way. What had been sent until then is what it cost."],
  revoked: ["Key ended", "warn", "The key was revoked, or its project or account ended, while the answer was on its way."],
  recovered: ["Cut off", "bad", "A part of the gateway died while the answer was on its way. What had been sent until then is what it cost."],
  replayed: ["Repeated", "", "It was sent again under the same Idempotency-Key, and answered with what the first one was answered. It cost nothing more."],
  internal_error: ["Gateway failed", "bad", "The gateway itself failed. The request id helps the operator to find out why."],
};
const TRIES = {
  ok: ["Answered", "good"],
  cancelled: ["Cancelled", ""],
};

const words = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
const known = (request) => OUTCOMES[request.outcome] ?? [words(request.outcome), "", "It ended in a way that this page does not know."];

/** The badge of a request. */
export function outcome(request) {
  const [name, kind] = known(request);
  return badge(name, kind);
}

/** What its outcome means. */
export const meaning = (request) => known(request)[2];

/** The badge of an attempt. */
export function tried(attempt) {
  return badge(...(TRIES[attempt.outcome] ?? [words(attempt.outcome), "bad"]));
}
