// Vercel's AI SDK over its provider for OpenAI-compatible servers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { generation, start } from "./gateway.js";

const gateway = await start();

for (const base of ["/v1", "/api/v1"]) {
  const provider = createOpenAICompatible({
    name: "headrace",
    baseURL: gateway.url + base,
    apiKey: gateway.key,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  const asked = (model, more = {}) => ({
    model: provider(model),
    prompt: "one two three",
    maxRetries: 0,
    ...more,
  });
  const weather = tool({ inputSchema: z.object({}).loose(), execute: async () => "it rains" });

  test(`a whole answer at ${base}`, async () => {
    const answer = await generateText(asked("sim/echo"));
    assert.equal(answer.text, "one two three");
    assert.equal(answer.finishReason, "stop");
    assert.ok(answer.usage.totalTokens > 0);
  });

  test(`a stream at ${base}`, async () => {
    const answer = streamText(asked("sim/echo"));
    let text = "";
    for await (const part of answer.textStream) text += part;
    assert.equal(text, "one two three");
    assert.ok((await answer.usage).totalTokens > 0);
  });

  test(`tools run to the end at ${base}`, async () => {
    const answer = await generateText(
      asked("sim/tool", { tools: { weather }, stopWhen: stepCountIs(3) }),
    );
    assert.equal(answer.steps[0].toolCalls[0].toolName, "weather");
    assert.match(answer.text, /it rains/);
  });

  test(`structured output at ${base}`, async () => {
    const answer = await generateText(
      asked("sim/echo", {
        prompt: '{"answer": 42}',
        output: Output.object({ schema: z.object({ answer: z.number() }) }),
      }),
    );
    assert.deepEqual(answer.output, { answer: 42 });
  });

  test(`embeddings at ${base}`, async () => {
    const model = provider.embeddingModel("sim/embed");
    assert.equal((await embedMany({ model, values: ["a", "b"] })).embeddings.length, 2);
  });

  test(`errors at ${base}`, async () => {
    for (const [model, status] of [
      ["nobody/nothing", 404],
      // One for each base: who was told to wait is not asked again at once.
      [`sim/echo:fail=429,retry_after=1,tps=${base.length}`, 429],
    ]) {
      await assert.rejects(generateText(asked(model)), (error) => {
        assert.ok(APICallError.isInstance(error));
        assert.equal(error.statusCode, status);
        return true;
      });
    }
  });

  test(`a stream that fails after it began tells of it at ${base}`, async () => {
    let told = null;
    const answer = streamText(
      asked("sim/lorem:error=3", {
        onError: ({ error }) => {
          told = error;
        },
      }),
    );
    for await (const _ of answer.textStream);
    assert.notEqual(told, null);
  });

  test(`who leaves a stream pays for what came at ${base}`, async () => {
    const leaving = new AbortController();
    let id = null;
    const watched = createOpenAICompatible({
      name: "headrace",
      baseURL: gateway.url + base,
      apiKey: gateway.key,
      fetch: async (...request) => {
        const answer = await fetch(...request);
        id = answer.headers.get("x-generation-id");
        return answer;
      },
    });
    const answer = streamText(
      asked("", {
        model: watched("sim/lorem:tokens=2000,tps=100"),
        abortSignal: leaving.signal,
        onError: () => {},
      }),
    );
    let parts = 0;
    for await (const _ of answer.textStream) {
      parts += 1;
      if (parts === 3) leaving.abort();
    }
    const told = await generation(gateway, id);
    assert.equal(told.outcome, "client_abort");
    assert.ok(told.tokens_completion >= 3 && told.tokens_completion < 1000);
  });
}
