// What an answer has come to so far, put together from its chunks.

import { Refused } from "../core/api.js";

export class Answer {
  text = "";
  reasoning = "";
  details = [];
  calls = [];
  images = 0;
  usage = null;
  finish = null;
  /** Moments in milliseconds: sent, first thing heard, first of the answer itself, over. */
  sent = performance.now();
  first = null;
  spoke = null;
  over = null;

  /** Take a chunk. Throws Refused where it tells of a failure. */
  take(chunk) {
    if (chunk.usage) this.usage = chunk.usage;
    for (const choice of chunk.choices ?? []) if (choice.index === 0) this.#heard(choice);
    if (chunk.error) throw new Refused(Number(chunk.error.code) || 502, chunk.error.type, chunk.error.message, null);
  }

  #heard({ delta = {}, finish_reason }) {
    const text = (delta.content ?? "") + (delta.refusal ?? "");
    const reasoning = delta.reasoning_content ?? delta.reasoning ?? "";
    this.text += text;
    this.reasoning += reasoning;
    this.details.push(...(delta.reasoning_details ?? []));
    this.images += delta.images?.length ?? 0;
    for (const part of delta.tool_calls ?? []) this.#called(part);
    if (finish_reason) this.finish = finish_reason;
    const spoke = text !== "" || delta.tool_calls?.length > 0 || delta.images?.length > 0;
    if (spoke || reasoning) this.first ??= performance.now();
    if (spoke) this.spoke ??= performance.now();
  }

  #called({ index = this.calls.length, id, function: named }) {
    const call = (this.calls[index] ??= { id: "", name: "", text: "" });
    call.id ||= id ?? "";
    call.name += named?.name ?? "";
    call.text += named?.arguments ?? "";
  }

  /** Nothing more is to come. */
  end() {
    this.over = performance.now();
    this.calls = this.calls.filter(Boolean);
  }

  /** Tokens a second from the first on, where there was time enough to measure. */
  speed(tokens) {
    const ms = this.over - this.first;
    return this.first !== null && tokens > 1 && ms >= 50 ? ((tokens - 1) / ms) * 1000 : null;
  }

  /** The answer as a message of the conversation that goes on, or null; calls of tools only where it is `whole`. */
  message(whole) {
    const made = whole ? this.calls : [];
    if (this.text === "" && made.length === 0) return null;
    const calls = made.map(({ id, name, text }) => ({ id, type: "function", function: { name, arguments: text } }));
    return {
      role: "assistant",
      content: this.text,
      ...(this.details.length > 0 && { reasoning_details: this.details }),
      ...(calls.length > 0 && { tool_calls: calls }),
    };
  }
}
