// Anthropic's SDK: messages, streams, tools, counting, errors, at both bases.

import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { generation, start } from "./gateway.js";

const gateway = await start();
const HELLO = [{ role: "user", content: "one two three" }];
const TOOLS = [{ name: "weather", input_schema: { type: "object", properties: {} } }];

for (const base of ["", "/api"]) {
  const client = new Anthropic({ baseURL: gateway.url + base, apiKey: gateway.key, maxRetries: 0 });

  test(`a whole message at ${base}/v1`, async () => {
    const message = await client.messages.create({ model: "sim/echo", max_tokens: 64, messages: HELLO });
    assert.equal(message.content[0].text, "one two three");
    assert.equal(message.stop_reason, "end_turn");
    assert.equal(message.model, "sim/echo");
    assert.ok(message.usage.output_tokens > 0);
  });

  test(`a streamed message at ${base}/v1`, async () => {
    const stream = client.messages.stream({ model: "sim/echo", max_tokens: 64, messages: HELLO });
    let text = "";
    stream.on("text", (delta) => {
      text += delta;
    });
    const message = await stream.finalMessage();
    assert.equal(text, "one two three");
    assert.equal(message.content[0].text, text);
  });

  test(`a tool's round trip at ${base}/v1`, async () => {
    const asked = await client.messages.create({
      model: "sim/tool",
      max_tokens: 64,
      messages: HELLO,
      tools: TOOLS,
    });
    const call = asked.content.find((block) => block.type === "tool_use");
    assert.equal(call.name, "weather");
    assert.equal(asked.stop_reason, "tool_use");
    const result = { type: "tool_result", tool_use_id: call.id, content: "it rains" };
    const told = await client.messages.create({
      model: "sim/tool",
      max_tokens: 64,
      tools: TOOLS,
      messages: [
        ...HELLO,
        { role: "assistant", content: asked.content },
        { role: "user", content: [result] },
      ],
    });
    assert.match(told.content[0].text, /it rains/);
  });

  test(`a count at ${base}/v1`, async () => {
    const counted = await client.messages.countTokens({ model: "sim/echo", messages: HELLO });
    assert.ok(counted.input_tokens > 0);
  });

  test(`errors at ${base}/v1`, async () => {
    const asked = (model, key = gateway.key) =>
      new Anthropic({ baseURL: gateway.url + base, apiKey: key, maxRetries: 0 }).messages.create({
        model,
        max_tokens: 64,
        messages: HELLO,
      });
    // One for each base: who was told to wait is not asked again at once.
    const limited = `sim/echo:fail=429,retry_after=1,tps=${base.length + 1}`;
    await assert.rejects(asked("sim/echo", "fd_agg_nobody"), Anthropic.AuthenticationError);
    await assert.rejects(asked("nobody/nothing"), Anthropic.NotFoundError);
    await assert.rejects(asked(limited), Anthropic.RateLimitError);
    await assert.rejects(
      client.messages.create({ model: "sim/echo", max_tokens: 0, messages: HELLO }),
      Anthropic.BadRequestError,
    );
  });

  test(`a stream that fails after it began raises at ${base}/v1`, async () => {
    const stream = client.messages.stream({ model: "sim/lorem:error=3", max_tokens: 64, messages: HELLO });
    await assert.rejects(stream.finalMessage(), Anthropic.APIError);
  });

  test(`who leaves a stream pays for what came at ${base}/v1`, async () => {
    const { data, response } = await client.messages
      .create({ model: "sim/lorem:tokens=2000,tps=100", max_tokens: 4000, messages: HELLO, stream: true })
      .withResponse();
    let deltas = 0;
    for await (const event of data) {
      if (event.type === "content_block_delta") deltas += 1;
      if (deltas === 3) break;
    }
    const told = await generation(gateway, response.headers.get("x-generation-id"));
    assert.equal(told.outcome, "client_abort");
    assert.ok(told.tokens_completion >= 3 && told.tokens_completion < 1000);
  });
}
