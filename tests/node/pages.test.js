// What the dashboard's modules work out without a page: streams, answers, code to copy.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

const STATIC = "../../proxy/control/web/static";
const { eachEvent } = await import(`${STATIC}/core/sse.js`);
const { blocks } = await import(`${STATIC}/core/prose.js`);
const { Answer } = await import(`${STATIC}/playground/answer.js`);
const { curl } = await import(`${STATIC}/playground/code.js`);

const STREAM = '\uFEFF: hi\r\n\r\ndata: {"a":"é😀"}\n\ndata:x\r\ndata: y\r\n\r\nevent: z\rdata\r\rid: 3\n\ndata: [DONE]\n\ndata: lost';
const EVENTS = ['{"a":"é😀"}', "x\ny", "", "[DONE]"];

async function heard(parts) {
  const found = [];
  await eachEvent(ReadableStream.from(parts), (data) => found.push(data));
  return found;
}

test("events are the same wherever a stream is cut", async () => {
  const bytes = new TextEncoder().encode(STREAM);
  for (let at = 0; at <= bytes.length; at++) {
    assert.deepEqual(await heard([bytes.slice(0, at), bytes.slice(at)]), EVENTS, `cut at ${at}`);
  }
  assert.deepEqual(await heard(Array.from(bytes, (byte) => Uint8Array.of(byte))), EVENTS);
});

test("an answer is put together from its chunks", () => {
  const answer = new Answer();
  const deltas = [
    { role: "assistant", reasoning_content: "hm" },
    { content: "Yes" },
    { tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: '{"x"' } }] },
    { tool_calls: [{ index: 0, function: { arguments: ":1}" } }] },
  ];
  for (const delta of deltas) answer.take({ choices: [{ index: 0, delta }] });
  answer.take({ choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }], usage: null });
  answer.take({ choices: [], usage: { completion_tokens: 3 } });
  answer.end();
  const call = { id: "a", type: "function", function: { name: "f", arguments: '{"x":1}' } };
  assert.deepEqual(answer.message(true), { role: "assistant", content: "Yes", tool_calls: [call] });
  assert.deepEqual(answer.message(false), { role: "assistant", content: "Yes" });
  assert.equal(answer.reasoning, "hm");
  assert.equal(answer.usage.completion_tokens, 3);
});

test("a failure within a stream is told in the gateway's words", () => {
  const chunk = { choices: [{ index: 0, delta: {}, finish_reason: "error" }], error: { code: "502", type: "server_error", message: "It broke." } };
  assert.throws(() => new Answer().take(chunk), { status: 502, message: "It broke." });
});

for (const [text, expected] of [
  ["one\ntwo\n\nthree", [["text", "one\ntwo"], ["text", "three"]]],
  ["# Head\ntext", [["head", "Head"], ["text", "text"]]],
  ["a\n```py\nx\n\n# y\n```\nb", [["text", "a"], ["code", "x\n\n# y"], ["text", "b"]]],
  ["````\n```\n````", [["code", "```"]]],
  ["```js\nnot yet", [["code", "not yet"]]],
]) {
  test(`blocks of ${JSON.stringify(text)}`, () => {
    assert.deepEqual(blocks(text).map(({ kind, text: inner }) => [kind, inner]), expected);
  });
}

test("a shell hands curl the very request", () => {
  const body = { model: "sim/echo", messages: [{ role: "user", content: "it's $HOME `id` \\ \"q\"\n😀" }], stream: true };
  const command = curl("http://127.0.0.1/v1", { body, strategy: "fastest", more: {} });
  const last = 'curl() { for last; do :; done; printf %s "$last"; }';
  assert.deepEqual(JSON.parse(execFileSync("sh", ["-c", `${last}\n${command}`], { encoding: "utf8" })), body);
});
