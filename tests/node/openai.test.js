// OpenAI's SDK: chats, tools, structured output, responses, and the rest of its endpoints, at both bases.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { generation, start } from "./gateway.js";

const gateway = await start();
const HELLO = [{ role: "user", content: "one two three" }];
const SLOW = "sim/lorem:tokens=2000,tps=100";
const TOOLS = [
  { type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } },
];

for (const base of ["/v1", "/api/v1"]) {
  const client = new OpenAI({ baseURL: gateway.url + base, apiKey: gateway.key, maxRetries: 0 });

  test(`a whole answer at ${base}`, async () => {
    const { data, response } = await client.chat.completions
      .create({ model: "sim/echo", messages: HELLO })
      .withResponse();
    assert.equal(data.choices[0].message.content, "one two three");
    assert.equal(data.choices[0].finish_reason, "stop");
    assert.ok(data.usage.total_tokens > 0);
    assert.match(response.headers.get("x-generation-id"), /^gen_/);
    assert.equal(response.headers.get("x-gateway-provider"), "sim");
  });

  test(`a stream at ${base}`, async () => {
    const stream = await client.chat.completions.create({
      model: "sim/echo",
      messages: HELLO,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, "one two three");
    assert.ok(usage.cost > 0);
  });

  test(`a tool's round trip at ${base}`, async () => {
    const asked = await client.chat.completions.create({ model: "sim/tool", messages: HELLO, tools: TOOLS });
    const [call] = asked.choices[0].message.tool_calls;
    assert.equal(call.function.name, "weather");
    assert.equal(asked.choices[0].finish_reason, "tool_calls");
    const told = await client.chat.completions.create({
      model: "sim/tool",
      tools: TOOLS,
      messages: [
        ...HELLO,
        asked.choices[0].message,
        { role: "tool", tool_call_id: call.id, content: "it rains" },
      ],
    });
    assert.match(told.choices[0].message.content, /it rains/);
  });

  test(`a tool's call in a stream at ${base}`, async () => {
    const stream = client.chat.completions.stream({ model: "sim/tool", messages: HELLO, tools: TOOLS });
    const { choices } = await stream.finalChatCompletion();
    assert.equal(choices[0].message.tool_calls[0].function.name, "weather");
    JSON.parse(choices[0].message.tool_calls[0].function.arguments);
  });

  test(`structured output at ${base}`, async () => {
    const completion = await client.chat.completions.parse({
      model: "sim/echo",
      messages: [{ role: "user", content: '{"answer": 42}' }],
      response_format: zodResponseFormat(z.object({ answer: z.number() }), "answer"),
    });
    assert.deepEqual(completion.choices[0].message.parsed, { answer: 42 });
  });

  test(`errors at ${base}`, async () => {
    const asked = (model, key = gateway.key) =>
      new OpenAI({ baseURL: gateway.url + base, apiKey: key, maxRetries: 0 }).chat.completions.create({
        model,
        messages: HELLO,
      });
    // One for each base: who was told to wait is not asked again at once.
    const limited = `sim/echo:fail=429,retry_after=1,tps=${base.length + 1}`;
    await assert.rejects(asked("sim/echo", "fd_agg_nobody"), OpenAI.AuthenticationError);
    await assert.rejects(asked("nobody/nothing"), OpenAI.NotFoundError);
    await assert.rejects(asked(limited), OpenAI.RateLimitError);
    await assert.rejects(asked("sim/echo:fail=500"), OpenAI.InternalServerError);
    await assert.rejects(client.chat.completions.create({ model: "sim/echo" }), OpenAI.BadRequestError);
  });

  test(`a stream that fails after it began raises at ${base}`, async () => {
    const stream = await client.chat.completions.create({
      model: "sim/lorem:error=3",
      messages: HELLO,
      stream: true,
    });
    let chunks = 0;
    await assert.rejects(async () => {
      for await (const _ of stream) chunks += 1;
    }, OpenAI.APIError);
    assert.ok(chunks >= 3);
  });

  test(`who leaves a stream pays for what came at ${base}`, async () => {
    const { data, response } = await client.chat.completions
      .create({ model: SLOW, messages: HELLO, stream: true })
      .withResponse();
    let chunks = 0;
    for await (const _ of data) {
      chunks += 1;
      if (chunks === 4) break;
    }
    const told = await generation(gateway, response.headers.get("x-generation-id"));
    assert.equal(told.outcome, "client_abort");
    assert.ok(told.tokens_completion >= 3 && told.tokens_completion < 1000);
  });

  test(`responses at ${base}`, async () => {
    const whole = await client.responses.create({ model: "sim/echo", input: "one two three" });
    assert.equal(whole.output_text, "one two three");
    const stream = await client.responses.create({ model: "sim/echo", input: "one two three", stream: true });
    let text = "";
    let last = null;
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") text += event.delta;
      last = event.type;
    }
    assert.equal(text, "one two three");
    assert.equal(last, "response.completed");
  });

  test(`completions, embeddings, images, speech and models at ${base}`, async () => {
    const completion = await client.completions.create({ model: "sim/echo", prompt: "one two" });
    assert.equal(completion.choices[0].text, "one two");
    const vectors = await client.embeddings.create({ model: "sim/embed", input: ["a", "b"] });
    assert.equal(vectors.data.length, 2);
    const images = await client.images.generate({ model: "sim/image", prompt: "a mill" });
    assert.equal(images.data.length, 1);
    const sound = await client.audio.speech.create({ model: "sim/speech", input: "hello", voice: "alloy" });
    const bytes = Buffer.from(await sound.arrayBuffer());
    assert.ok(bytes.length > 0);
    const heard = await client.audio.transcriptions.create({
      model: "sim/transcribe",
      file: await OpenAI.toFile(bytes, "speech.wav"),
    });
    assert.ok(heard.text.length > 0);
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    assert.ok(models.includes("sim/echo") && models.includes("fast"));
    assert.equal((await client.models.retrieve("fast")).alias_of[0], "sim/echo");
  });
}
