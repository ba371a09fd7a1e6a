"""The simulated provider does on the wire what its model's name says, at the pace it says."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
import trio
import trio.testing

from proxy.dialects.openai_request import read_chat
from proxy.upstream.sim import SimLine
from proxy.upstream.sim.reply import SimReply
from proxy.wires.base import Target
from proxy.wires.openai import OpenAIWire
from proxy.wires.openai_stream import OpenAIDecoder
from proxy.words.chat import (
    Finished,
    Frame,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from proxy.words.script import MODELS, Script, read_script
from proxy.words.usage import DEFAULT_RATIO, Usage, count, text_size

HI = {"role": "user", "content": "Hello, world"}
WIRE = OpenAIWire()


async def post(model: str, **more: Any) -> SimReply:
    call = read_chat({"messages": [HI], **more})
    outgoing = WIRE.encode(call, Target(model))
    return await SimLine().post(outgoing.path, WIRE.headers(None), outgoing.body)


class Answer:
    """What came of one request, with the time of each read."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.times: list[float] = []
        self.decoder = OpenAIDecoder()

    async def read(self, reply: SimReply) -> Answer:
        start = trio.current_time()
        while data := await reply.read():
            self.times.append(trio.current_time() - start)
            for frame in self.decoder.feed(data):
                self.frames += frame.run.apart() if frame.run else [frame]
        self.frames += self.decoder.close()
        return self

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for frame in self.frames for event in frame.events if isinstance(event, kind)]

    def text(self, choice: int = 0) -> str:
        return "".join([event.text for event in self.all(TextDelta) if event.choice == choice])

    def reasoning(self) -> str:
        return "".join([event.text for event in self.all(ReasoningDelta)])

    def finish(self) -> list[str]:
        return [event.reason for event in self.all(Finished)]

    def usage(self) -> Usage:
        (report,) = self.all(UsageReport)
        assert report.trusted
        assert isinstance(report.usage, Usage)
        return report.usage

    @property
    def trouble(self) -> str | None:
        return self.decoder.failure.trouble if self.decoder.failure else None


async def answer(model: str, **more: Any) -> Answer:
    reply = await post(model, **more)
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream"
    return await Answer().read(reply)


GOOD = [
    ("echo", Script("echo")),
    ("lorem", Script("lorem")),
    ("tool", Script("tool")),
    ("lorem:", Script("lorem")),
    ("lorem:tokens=200,ttft=0.3,tps=50", Script("lorem", tokens=200, ttft=0.3, tps=50.0)),
    ("lorem:tokens=0", Script("lorem", tokens=0)),
    ("lorem:tokens=1000000", Script("lorem", tokens=1_000_000)),
    ("echo:fail=503,retry_after=7", Script("echo", fail=503, retry_after=7)),
    ("echo:error=0", Script("echo", error=0)),
    ("echo:stall=2,cut=3", Script("echo", stall=2, cut=3)),
    ("echo:usage=0,reasoning=5", Script("echo", usage=0, reasoning=5)),
    ("echo:tokens=1,tokens=2", Script("echo", tokens=2)),
]
BAD = [
    *("", "gpt", "Echo", "echo ", "sim/echo", ":tokens=1"),
    *("echo:tokens", "echo:tokens=", "echo:=1", "echo:tokens=x", "echo:tokens=1.5", "echo:tokens=-1"),
    *("echo:tokens=1000001", "echo:ttft=nan", "echo:ttft=inf", "echo:tps=-1", "echo:color=red"),
    *("echo:tokens=1,", "echo:,", "echo:tokens=1 ttft=2", "echo:name=lorem", "echo:fail=true"),
]


class TestScript:
    @pytest.mark.parametrize(("model", "script"), GOOD)
    def test_what_is_understood(self, model: str, script: Script) -> None:
        assert read_script(model) == script

    @pytest.mark.parametrize("model", BAD)
    def test_what_is_not(self, model: str) -> None:
        with pytest.raises(ValueError):
            read_script(model)

    @pytest.mark.fault("F71")
    @pytest.mark.parametrize("model", ["gpt", "echo:color=red", "echo:tokens=x"])
    async def test_is_answered_with_404_as_a_provider_would(self, model: str) -> None:
        reply = await post(model)
        assert reply.status == 404
        body = await reply.read()
        assert WIRE.failure(404, reply.headers, body, 0).trouble == "gone"
        assert await reply.read() == b""

    @pytest.mark.fault("F69")
    @pytest.mark.parametrize("body", [b"", b"{}", b'{"messages": []}', b'{"model": "echo", "messages": 7}'])
    async def test_a_bad_request_is_answered_with_400(self, body: bytes) -> None:
        reply = await SimLine().post("/chat/completions", (), body)
        assert reply.status == 400
        error = WIRE.failure(400, reply.headers, await reply.read(), 0)
        assert error.trouble == "rejected"
        assert error.message


class TestModels:
    def test_they_are_three(self) -> None:
        assert MODELS == ("echo", "lorem", "tool")

    @pytest.mark.parametrize("said", ["Hello, world", "é✓🎉 and more", "a", "x" * 1000])
    async def test_echo_says_the_last_user_message_back(self, said: str) -> None:
        messages = [HI, {"role": "assistant", "content": "No"}, {"role": "user", "content": said}]
        got = await answer("echo", messages=messages)
        assert got.text() == said
        assert got.finish() == ["stop"]
        assert got.decoder.complete
        assert got.decoder.done

    async def test_echo_joins_text_parts_and_says_something_where_there_are_none(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:,"}}
        parts = [{"type": "text", "text": "a"}, image, {"type": "text", "text": "b"}]
        assert (await answer("echo", messages=[{"role": "user", "content": parts}])).text() == "ab"
        assert (await answer("echo", messages=[{"role": "user", "content": [image]}])).text() == "(nothing)"
        assert (await answer("echo", messages=[{"role": "system", "content": "x"}])).text() == "(nothing)"

    @pytest.mark.parametrize("tokens", [0, 1, 16, 300])
    async def test_lorem_says_one_token_a_chunk(self, tokens: int) -> None:
        got = await answer(f"lorem:tokens={tokens}")
        assert len(got.all(TextDelta)) == tokens
        assert all(count(text_size(event.text), DEFAULT_RATIO) == 1 for event in got.all(TextDelta))
        assert got.usage().completion_tokens == tokens
        assert got.finish() == ["stop"]

    async def test_tool_calls_the_first_tool_and_then_uses_its_result(self) -> None:
        tools = [{"type": "function", "function": {"name": name}} for name in ("first", "second")]
        got = await answer("tool", tools=tools)
        calls: list[ToolCallDelta] = got.all(ToolCallDelta)
        assert (calls[0].id, calls[0].name) == ("call_sim_0", "first")
        arguments = "".join([call.arguments for call in calls])
        assert orjson.loads(arguments) == {"input": "Hello, world"}
        assert len(calls) > 2
        assert got.finish() == ["tool_calls"]
        assert got.usage().output == count(len("first" + arguments), DEFAULT_RATIO)

        function = {"name": "first", "arguments": arguments}
        spoken = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]}
        result = {"role": "tool", "tool_call_id": "c", "content": "It is 42."}
        after = await answer("tool", tools=tools, messages=[HI, spoken, result])
        assert (after.text(), after.finish()) == ("It is 42.", ["stop"])

    async def test_tool_without_tools_echoes(self) -> None:
        assert (await answer("tool")).text() == "Hello, world"


class TestLength:
    @pytest.mark.parametrize(
        ("model", "limit", "said", "finish"),
        [
            ("lorem:tokens=5", 3, "the sun may ", "length"),
            ("lorem:tokens=5", 5, "the sun may set but ", "stop"),
            ("lorem:tokens=5", 6, "the sun may set but ", "stop"),
            ("echo", 2, "Hello, w", "length"),
            ("echo", 3, "Hello, world", "stop"),
        ],
    )
    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    async def test_max_tokens_cuts(self, model: str, limit: int, said: str, finish: str, name: str) -> None:
        got = await answer(model, **{name: limit})
        assert (got.text(), got.finish()) == (said, [finish])
        assert got.usage().completion_tokens <= limit

    async def test_a_piece_that_is_too_long_from_the_start_is_cut_too(self) -> None:
        got = await answer("echo", max_tokens=1, messages=[{"role": "user", "content": "🎉🎉🎉🎉"}])
        assert (got.text(), got.finish()) == ("", ["length"])

    async def test_so_are_the_arguments_of_a_call(self) -> None:
        tools = [{"type": "function", "function": {"name": "f"}}]
        got = await answer("tool", tools=tools, max_tokens=5)
        assert got.all(ToolCallDelta)
        assert got.finish() == ["length"]

    async def test_reasoning_comes_first_and_counts(self) -> None:
        got = await answer("lorem:tokens=5,reasoning=3")
        assert got.reasoning() == "the sun may "
        assert got.text() == "the sun may set but "
        assert got.usage()._replace(input=0) == Usage(output=5, reasoning=3)
        cut = await answer("lorem:tokens=5,reasoning=3", max_tokens=2)
        assert (cut.reasoning(), cut.text(), cut.finish()) == ("the sun ", "", ["length"])

    async def test_every_choice_is_said(self) -> None:
        got = await answer("lorem:tokens=3", n=3)
        assert [got.text(index) for index in range(3)] == ["the sun may "] * 3
        assert got.finish() == ["stop"] * 3
        assert got.usage().output == 9
        assert got.decoder.complete


class TestUsage:
    @pytest.mark.parametrize("model", ["echo", "echo:reasoning=3", "lorem:tokens=7"])
    @pytest.mark.parametrize("n", [1, 2])
    @pytest.mark.parametrize("said", ["Hello", "é✓🎉, naïveté"])
    async def test_it_is_the_gateways_own_count(self, model: str, n: int, said: str) -> None:
        body = {"messages": [{"role": "user", "content": said}], "n": n}
        got = await answer(model, **body)
        texts = sum(text_size(event.text) for event in got.all(TextDelta))
        reasoning = sum(text_size(event.text) for event in got.all(ReasoningDelta))
        assert got.usage() == Usage(
            input=read_chat(body).prompt_tokens(DEFAULT_RATIO),
            output=count(texts, DEFAULT_RATIO),
            reasoning=count(reasoning, DEFAULT_RATIO),
        )

    @pytest.mark.fault("F61")
    async def test_it_can_be_kept_back(self) -> None:
        got = await answer("echo:usage=0")
        assert got.all(UsageReport) == []
        assert got.decoder.complete


class TestFaults:
    @pytest.mark.fault("F66", "F70")
    @pytest.mark.parametrize("status", [401, 429, 500, 503, 529])
    async def test_fail_answers_with_a_status(self, status: int) -> None:
        reply = await post(f"echo:fail={status},retry_after=7")
        assert reply.status == status
        assert reply.headers["retry-after"] == "7"
        assert orjson.loads(await reply.read())["error"]["message"] == "This failure was asked for."
        assert "retry-after" not in (await post(f"echo:fail={status}")).headers

    @pytest.mark.fault("F65")
    @pytest.mark.parametrize("after", [0, 1, 3])
    @pytest.mark.parametrize("pace", ["", ",tps=10"])
    async def test_error_sends_a_frame_after_that_many_chunks(
        self, after: int, pace: str, autojump_clock: trio.testing.MockClock
    ) -> None:
        got = await answer(f"lorem:tokens=3,error={after}{pace}")
        assert len(got.all(TextDelta)) == after
        assert (got.trouble, got.decoder.complete) == ("failed", False)

    async def test_an_error_after_the_end_never_comes(self) -> None:
        got = await answer("lorem:tokens=3,error=4")
        assert got.trouble is None
        assert got.decoder.complete

    @pytest.mark.fault("F54", "F55")
    @pytest.mark.parametrize("after", [0, 1, 3])
    @pytest.mark.parametrize("pace", ["", ",tps=10"])
    async def test_stall_says_nothing_more(
        self, after: int, pace: str, autojump_clock: trio.testing.MockClock
    ) -> None:
        got = Answer()
        with trio.move_on_after(3600) as patience:
            await got.read(await post(f"lorem:tokens=9,stall={after}{pace}"))
        assert patience.cancelled_caught
        assert len(got.all(TextDelta)) == after

    @pytest.mark.fault("F56")
    @pytest.mark.parametrize("after", [0, 1, 3])
    @pytest.mark.parametrize("pace", ["", ",tps=10"])
    async def test_cut_drops_the_connection(
        self, after: int, pace: str, autojump_clock: trio.testing.MockClock
    ) -> None:
        got = Answer()
        with pytest.raises(httpx.ReadError):
            await got.read(await post(f"lorem:tokens=9,cut={after}{pace}"))
        assert len(got.all(TextDelta)) == after


class TestPace:
    async def test_without_one_it_is_as_fast_as_can_be_but_lets_others_run(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        reply = await post("lorem:tokens=2000")
        got = await Answer().read(reply)
        assert got.times[-1] == 0
        assert 2000 // 300 < len(got.times) < 2000 // 100
        assert len(got.all(TextDelta)) == 2000

    async def test_ttft_delays_the_first_token_alone(self, autojump_clock: trio.testing.MockClock) -> None:
        got = await answer("lorem:ttft=1.5,tokens=300")
        assert set(got.times) == {1.5}

    async def test_tps_spaces_the_tokens(self, autojump_clock: trio.testing.MockClock) -> None:
        got = await answer("lorem:ttft=1,tps=4,tokens=3")
        assert got.times == [1.0, 1.25, 1.5, 1.75, 2.0, 2.25]
        assert len(got.all(TextDelta)) == 3

    async def test_a_read_that_is_cancelled_loses_nothing(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        reply = await post("lorem:tps=1,tokens=3,ttft=1")
        for _ in range(3):
            with trio.move_on_after(0.3):
                await reply.read()
        got = await Answer().read(reply)
        assert got.text() == "the sun may "
        assert got.times[0] == pytest.approx(0.1)

    async def test_closed_it_says_nothing_more(self) -> None:
        reply = await post("lorem")
        reply.close()
        assert await reply.read() == b""


class TestMedia:
    """One long request must not keep everybody else in the process waiting."""

    async def test_a_long_speech_is_made_piece_by_piece(self) -> None:
        body = orjson.dumps({"model": "speech", "input": "a" * 100_000, "voice": "v"})
        reply = await SimLine().post("/audio/speech", (), body)
        assert 44 < len(await reply.read()) < 2**20 + 44
        reply.close()

    @pytest.mark.parametrize(("dimensions", "status"), [(65_536, 400), (32, 200)])
    async def test_vectors_have_a_bounded_number_of_numbers(self, dimensions: int, status: int) -> None:
        body = {"model": "embed", "input": ["x"] * 2048, "dimensions": dimensions}
        reply = await SimLine().post("/embeddings", (), orjson.dumps(body))
        assert reply.status == status
