// Asking a model as an application would: by a key, at /v1, and listening as long as it answers.

import { Refused, refusal } from "../core/api.js";
import { eachEvent } from "../core/sse.js";
import { token } from "./token.js";

const BASE = "/v1";
const SOON = [150, 400, 1000, 2500]; // ms until a request that was given up is in the books

/**
 * Send a request {body, strategy}; `began(headers)` is called with the answer's, `take(chunk)` with each chunk.
 *
 * Returns whether the answer was complete. Throws Refused, or what `signal` aborts with.
 */
export async function ask({ body, strategy }, signal, began, take) {
  const headers = { "content-type": "application/json", ...(strategy && { "x-headrace-strategy": strategy }) };
  const answer = await byKey("/chat/completions", { method: "POST", headers, body: JSON.stringify(body), signal });
  began(answer.headers);
  if (!answer.ok) throw refusal(answer, await answer.json().catch(() => null));
  let complete = false;
  await eachEvent(answer.body, (data) => {
    if (data === "[DONE]") complete = true;
    else take(JSON.parse(data));
  }).catch((error) => {
    throw signal.aborted || error instanceof Refused ? error : broken();
  });
  return complete;
}

/** What the books say of a request, or null while they say nothing. */
export async function booked(generation) {
  for (const wait of SOON) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const answer = await byKey(`/generation?id=${encodeURIComponent(generation)}`, {});
    if (answer.ok) return (await answer.json()).data;
    if (answer.status !== 404) return null;
  }
  return null;
}

async function byKey(path, { signal, ...request }) {
  const sent = async (key) => {
    const headers = { ...request.headers, authorization: `Bearer ${key}` };
    return fetch(BASE + path, { ...request, headers, signal }).catch((error) => {
      throw signal?.aborted ? error : broken();
    });
  };
  const key = await token();
  const answer = await sent(key);
  return answer.status === 401 ? sent(await token(key)) : answer;
}

const broken = () => new Refused(0, "unreachable", "The connection to the gateway broke. Check it and try again.", null);
