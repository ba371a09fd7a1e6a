"""OpenAI's Responses API: what is understood, what is refused, and every event of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from proxy.dialects.base import EVENT_STREAM, JSON_TYPE, Answer, Bill, Encoder
from proxy.dialects.responses import ResponsesDialect
from proxy.dialects.responses_input import sealed
from proxy.words.chat import (
    ChatRequest,
    Event,
    Finished,
    Frame,
    ImageDelta,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningDelta,
    ReasoningPart,
    ReasoningSealed,
    RefusalDelta,
    Run,
    Started,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
    ToolUse,
)
from proxy.words.errors import GatewayError
from proxy.words.usage import Usage

DIALECT = ResponsesDialect("aggregator")
ANSWER = Answer("gen_1", "openai", 1000, 1700000001, "upstream-model")
BILL = Bill(Usage(input=5, cache_read=3, cache_write=1, output=7, reasoning=2), 1_234, estimated=False)
USAGE: Final = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
    "cost": 0.001234,
}
EVENT: Final[TypeAdapter[Any]] = TypeAdapter(ResponseStreamEvent)
CUT = GatewayError("insufficient_credits", "The credits are used up.", param="model")
HI: Final = {"role": "user", "content": "Hi"}
CALL: Final = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT: Final = {"type": "function_call_output", "call_id": "c", "output": "1"}
SEAL = ReasoningPart("hm", "c2ln", format="anthropic-claude-v1")


def asked(**body: Any) -> ChatRequest:
    return DIALECT.parse(orjson.dumps({"model": "m", "input": "Hi", **body}))


def messages(*items: Mapping[str, Any]) -> tuple[Message, ...]:
    return asked(input=list(items)).messages


def shows(*parts: Mapping[str, Any]) -> Message:
    (message,) = messages({"role": "user", "content": list(parts)})
    return message


class TestInput:
    def test_text_is_the_users(self) -> None:
        assert asked().messages == (Message("user", (TextPart("Hi"),)),)

    def test_instructions_come_first(self) -> None:
        assert asked(instructions="Be brief.").messages[0] == Message("system", (TextPart("Be brief."),))

    @pytest.mark.parametrize("role", ["user", "system", "developer"])
    def test_messages(self, role: Any) -> None:
        for item in ({"role": role, "content": "x"}, {"type": "message", "role": role, "content": "x"}):
            assert messages(item) == (Message(role, (TextPart("x"),)),)

    def test_parts(self) -> None:
        audio = {"data": "AA==", "format": "wav"}
        message = shows(
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "t.pdf"},
            {"type": "input_audio", "input_audio": audio},
        )
        file = {"file_data": "data:application/pdf;base64,AA==", "filename": "t.pdf"}
        assert message.content == (
            TextPart("see"),
            ImagePart("https://x/y.png", "low"),
            ImagePart("data:image/png;base64,AA=="),
            OpaquePart("file", {"type": "file", "file": file}),
            OpaquePart("input_audio", {"type": "input_audio", "input_audio": audio}),
        )

    def test_the_items_of_one_turn_are_one_message(self) -> None:
        reasoning = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": sealed(SEAL)}
        text = {"type": "output_text", "text": "Wait.", "annotations": []}
        refusal = {"type": "refusal", "refusal": "No."}
        said = {"type": "message", "role": "assistant", "content": [text, refusal]}
        extra = {"google": {"thought_signature": "sig"}}
        found = messages(
            HI, reasoning, said, CALL, {**CALL, "call_id": "d", "extra_content": extra}, OUTPUT, HI
        )
        assert found == (
            Message("user", (TextPart("Hi"),)),
            Message(
                "assistant",
                (SEAL, TextPart("Wait."), OpaquePart("refusal", refusal)),
                tool_calls=(ToolUse("c", "f", "{}"), ToolUse("d", "f", "{}", "sig")),
            ),
            Message("tool", (TextPart("1"),), tool_call_id="c"),
            Message("user", (TextPart("Hi"),)),
        )

    @pytest.mark.parametrize("content", [None, "gAAAAA", "hr1.", "hr1.!!", "hr1.W10=", "hr1.e30="])
    def test_reasoning_of_other_services_stays_behind(self, content: Any) -> None:
        found = messages(HI, {"type": "reasoning", "summary": [], "encrypted_content": content}, CALL, OUTPUT)
        assert found[1].content == ()

    @pytest.mark.parametrize(
        ("value", "param"),
        [
            (None, "input"),
            ([], "input"),
            (7, "input"),
            ([1], "input[0]"),
            ([{"role": "tool", "content": "x"}], "input[0].role"),
            ([{"role": "user"}], "input[0].content"),
            ([{"role": "user", "content": [1]}], "input[0].content[0]"),
            ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
            ([{"role": "user", "content": [{"type": "input_image"}]}], "input[0].content[0].image_url"),
            ([{"role": "user", "content": [{"type": "input_file"}]}], "input[0].content[0].file_data"),
            ([{**CALL, "arguments": {}}], "input[0].arguments"),
            ([{**CALL, "call_id": None}], "input[0].call_id"),
            ([{**OUTPUT, "output": None}], "input[0].output"),
            ([{"type": "reasoning", "summary": []}], "input"),
        ],
    )
    def test_a_wrong_item_is_named(self, value: Any, param: str) -> None:
        with pytest.raises(GatewayError) as caught:
            asked(input=value)
        assert (caught.value.name, caught.value.param) == ("invalid_request", param)

    @pytest.mark.parametrize(
        ("item", "param"),
        [
            ({"type": "item_reference", "id": "x"}, "input[0].type"),
            ({"type": "web_search_call", "id": "x"}, "input[0].type"),
            ({"type": ["message"]}, "input[0].type"),
            ({"role": "user", "content": [{"type": "input_video"}]}, "input[0].content[0].type"),
        ],
    )
    def test_an_item_of_openais_own_is_refused(self, item: Any, param: str) -> None:
        with pytest.raises(GatewayError) as caught:
            asked(input=[item])
        assert (caught.value.name, caught.value.param) == ("unsupported_parameter", param)


class TestFields:
    def test_the_plain_ones(self) -> None:
        schema = {"type": "object"}
        call = asked(
            stream=True,
            max_output_tokens=9,
            temperature=0.5,
            top_p=0.9,
            parallel_tool_calls=False,
            user="u",
            reasoning={"effort": "low", "summary": "auto"},
            text={"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}},
            tools=[{"type": "function", "name": "f", "parameters": schema, "strict": False}],
            tool_choice={"type": "function", "name": "f"},
        )
        assert (call.stream, call.max_tokens, call.sampling.temperature, call.sampling.top_p) == (
            True,
            9,
            0.5,
            0.9,
        )
        assert (call.parallel_tool_calls, call.user, call.reasoning_effort) == (False, "u", "low")
        wanted = {"name": "n", "schema": schema, "strict": True}
        assert call.response_format == {"type": "json_schema", "json_schema": wanted}
        assert call.tools == (Tool("f", None, schema, False),)
        assert call.tool_choice == {"type": "function", "function": {"name": "f"}}
        assert call.extra == {}
        assert call.origin.language == "responses"

    def test_what_has_no_word_keeps_its_name(self) -> None:
        call = asked(service_tier="flex", prompt_cache_key="k", text={"verbosity": "low"}, odd=1)
        assert call.extra == {
            "service_tier": "flex",
            "prompt_cache_key": "k",
            "verbosity": "low",
            "odd": 1,
        }

    def test_what_no_model_is_told(self) -> None:
        call = asked(
            metadata={"a": "b"}, include=["reasoning.encrypted_content"], max_tool_calls=3, store=False
        )
        assert call.extra == {}
        assert asked(stream=True, stream_options={"include_obfuscation": False}).extra == {}

    @pytest.mark.parametrize(
        ("given", "word"),
        [
            (None, None),
            ("required", "required"),
            (
                {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
                {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [{"type": "function", "function": {"name": "f"}}],
                    },
                },
            ),
        ],
    )
    def test_the_choice_of_a_tool(self, given: Any, word: Any) -> None:
        assert asked(tool_choice=given).tool_choice == word

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [({}, None), ({"type": "text"}, None), ({"type": "json_object"}, {"type": "json_object"})],
    )
    def test_other_formats(self, text: dict[str, Any], wanted: Any) -> None:
        assert asked(text={"format": text} if text else {}).response_format == wanted

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"max_output_tokens": 0}, "max_output_tokens"),
            ({"max_output_tokens": "9"}, "max_output_tokens"),
            ({"temperature": 3}, "temperature"),
            ({"instructions": 7}, "instructions"),
            ({"text": "x"}, "text"),
            ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
            ({"text": {"format": {"type": "grammar"}}}, "text.format"),
            ({"reasoning": {"effort": 7}}, "effort"),
            ({"tools": {}}, "tools"),
            ({"tools": [1]}, "tools[0]"),
            ({"tools": [{"type": "function"}]}, "tools[0].name"),
            ({"metadata": {"a": 1}}, "metadata"),
            ({"stream_options": {}}, "stream_options"),
            ({"include": "all"}, "include"),
        ],
    )
    def test_a_wrong_field_is_named(self, body: dict[str, Any], param: str) -> None:
        with pytest.raises(GatewayError) as caught:
            asked(**body)
        assert (caught.value.name, caught.value.param) == ("invalid_request", param)

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"store": True}, "store"),
            ({"background": True}, "background"),
            ({"previous_response_id": "r"}, "previous_response_id"),
            ({"conversation": {"id": "c"}}, "conversation"),
            ({"prompt": {"id": "p"}}, "prompt"),
            ({"context_management": [{"type": "compaction"}]}, "context_management"),
            ({"moderation": {"model": "m"}}, "moderation"),
            ({"truncation": "auto"}, "truncation"),
            ({"top_logprobs": 2}, "top_logprobs"),
            ({"include": ["message.output_text.logprobs"]}, "include"),
            ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
            ({"tools": [{"type": "custom", "name": "f"}]}, "tools[0].type"),
            ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ],
    )
    def test_what_is_not_done_here_is_refused(self, body: dict[str, Any], param: str) -> None:
        with pytest.raises(GatewayError) as caught:
            asked(**body)
        assert (caught.value.name, caught.value.param) == ("unsupported_parameter", param)
        assert param in caught.value.message


def encoder(**body: Any) -> Encoder:
    return DIALECT.encoder(asked(**body), ANSWER)


def events_of(out: bytes) -> list[dict[str, Any]]:
    found = []
    for each in out.decode().split("\n\n")[:-1]:
        name, _, data = each.partition("\n")
        body = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {body['type']}"
        EVENT.validate_python(body)
        found.append(body)
    assert [body.pop("sequence_number") for body in found] == list(range(len(found)))
    return found


def streamed(*events: Event, **body: Any) -> list[dict[str, Any]]:
    writer = encoder(stream=True, **body)
    assert writer.media_type == EVENT_STREAM
    return events_of(writer.feed([Frame((each,)) for each in events]) + writer.finish(BILL))


def whole(*events: Event, **body: Any) -> dict[str, Any]:
    writer = encoder(**body)
    assert writer.media_type == JSON_TYPE
    assert writer.feed([Frame((each,)) for each in events]) == b""
    response = orjson.loads(writer.finish(BILL))
    Response.model_validate(response)
    return dict(response)


def items(*events: Event, **body: Any) -> list[dict[str, Any]]:
    """Return the output, on which a stream, its last event and a whole answer must agree."""
    output: list[dict[str, Any]] = whole(*events, **body)["output"]
    told = streamed(*events, **body)
    assert told[-1]["response"]["output"] == output
    assert [event["item"] for event in told if event["type"] == "response.output_item.done"] == output
    return output


EMPTY: Final = {
    "id": "resp_gen_1",
    "object": "response",
    "created_at": 1700000001,
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-x",
    "output": [],
    "usage": None,
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
BEGUN = Started("id", "gpt-x", 1)


def part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message(status: str, *content: dict[str, Any]) -> dict[str, Any]:
    head = {"id": "msg_gen_1_0", "type": "message", "status": status, "role": "assistant"}
    return {**head, "content": list(content)}


class TestAnswers:
    def test_a_stream_in_full(self) -> None:
        item = {"output_index": 0}
        place = {"item_id": "msg_gen_1_0", "output_index": 0, "content_index": 0}
        done = message("completed", part("Hi you"))
        completed = {**EMPTY, "status": "completed", "output": [done], "usage": USAGE}
        assert streamed(BEGUN, TextDelta("Hi"), TextDelta(" you"), Finished("stop")) == [
            {"type": "response.created", "response": EMPTY},
            {"type": "response.in_progress", "response": EMPTY},
            {"type": "response.output_item.added", **item, "item": message("in_progress")},
            {"type": "response.content_part.added", **place, "part": part("")},
            {"type": "response.output_text.delta", **place, "delta": "Hi", "logprobs": []},
            {"type": "response.output_text.delta", **place, "delta": " you", "logprobs": []},
            {"type": "response.output_text.done", **place, "text": "Hi you", "logprobs": []},
            {"type": "response.content_part.done", **place, "part": part("Hi you")},
            {"type": "response.output_item.done", **item, "item": done},
            {"type": "response.completed", "response": completed},
        ]

    def test_a_run_of_chunks_is_as_many_events(self) -> None:
        texts = [b"one ", "zw\u00f6lf ".encode(), b"three"]
        many = Frame((TextDelta(b"".join(texts).decode()),), plain=True, run=Run(b"", texts, b"", b""))
        several = [Frame((TextDelta(text.decode()),)) for text in texts]
        for stream in (False, True):
            written, expected = encoder(stream=stream), encoder(stream=stream)
            out = written.feed([many]) + written.finish(BILL)
            assert out == expected.feed(several) + expected.finish(BILL)

    def test_a_whole_response_in_full(self) -> None:
        done = message("completed", part("Hi you"))
        response = whole(BEGUN, TextDelta("Hi"), TextDelta(" you"), Finished("stop"))
        assert response == {**EMPTY, "status": "completed", "output": [done], "usage": USAGE}

    def test_a_call_in_full(self) -> None:
        call = {"id": "fc_gen_1_0", "type": "function_call", "call_id": "c", "name": "f"}
        place = {"item_id": "fc_gen_1_0", "output_index": 0}
        done = {**call, "status": "completed", "arguments": '{"a":1}'}
        name = "response.function_call_arguments"
        told = streamed(ToolCallDelta(0, "c", "f", '{"a":'), ToolCallDelta(0, None, None, "1}"))
        assert told[2:-1] == [
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {**call, "status": "in_progress", "arguments": ""},
            },
            {"type": f"{name}.delta", **place, "delta": '{"a":'},
            {"type": f"{name}.delta", **place, "delta": "1}"},
            {"type": f"{name}.done", **place, "arguments": '{"a":1}', "name": "f"},
            {"type": "response.output_item.done", "output_index": 0, "item": done},
        ]

    def test_calls_without_arguments_or_an_id_and_with_a_seal(self) -> None:
        sealed_call = ToolCallDelta(0, None, "f", "", signature="sig")
        assert items(sealed_call) == [
            {
                "id": "fc_gen_1_0",
                "type": "function_call",
                "status": "completed",
                "call_id": "call_gen_1_0",
                "name": "f",
                "arguments": "{}",
                "extra_content": {"google": {"thought_signature": "sig"}},
            }
        ]

    @pytest.mark.parametrize("summary", [None, "auto"])
    def test_reasoning(self, summary: str | None) -> None:
        body: dict[str, Any] = {"reasoning": {"summary": summary}, "include": ["reasoning.encrypted_content"]}
        hidden = ReasoningPart(redacted="x", format="f")
        output = items(ReasoningDelta("hm"), ReasoningSealed(SEAL), ReasoningSealed(hidden), **body)
        kind = "summary_text" if summary else "reasoning_text"
        told = [{"type": kind, "text": "hm"}]
        shown = {"summary": told} if summary else {"summary": [], "content": told}
        kept: dict[str, Any] = {"summary": []} if summary else {"summary": [], "content": []}
        assert output == [
            {"id": "rs_gen_1_0", "type": "reasoning", **shown, "encrypted_content": sealed(SEAL)},
            {"id": "rs_gen_1_1", "type": "reasoning", **kept, "encrypted_content": sealed(hidden)},
        ]
        # What was given can be sent back as it is.
        assert messages(HI, *output, OUTPUT)[1].content == (SEAL, hidden)

    def test_reasoning_is_sealed_only_if_that_was_asked_for(self) -> None:
        (item,) = items(ReasoningDelta("hm"), ReasoningSealed(SEAL))
        assert "encrypted_content" not in item

    def test_a_refusal_and_an_image(self) -> None:
        assert items(RefusalDelta("No."), ImageDelta("data:image/png;base64,AA==")) == [
            message("completed", {"type": "refusal", "refusal": "No."}),
            {
                "id": "ig_gen_1_1",
                "type": "image_generation_call",
                "status": "completed",
                "result": "AA==",
            },
        ]

    @pytest.mark.parametrize(
        ("reason", "status", "why"),
        [
            ("stop", "completed", None),
            ("tool_calls", "completed", None),
            ("something_new", "completed", None),
            ("length", "incomplete", {"reason": "max_output_tokens"}),
            ("content_filter", "incomplete", {"reason": "content_filter"}),
        ],
    )
    def test_why_it_ended(self, reason: str, status: str, why: Any) -> None:
        events = TextDelta("a"), ToolCallDelta(0, "c", "f", "{"), Finished(reason)
        response = whole(*events)
        assert (response["status"], response["incomplete_details"]) == (status, why)
        assert [item["status"] for item in response["output"]] == ["completed", status]
        told = streamed(*events)[-1]
        assert (told["type"], told["response"]) == (f"response.{status}", response)

    def test_what_was_asked_is_echoed(self) -> None:
        body = {
            "instructions": "x",
            "metadata": {"a": "b"},
            "temperature": 0.5,
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
            "tool_choice": "required",
            "reasoning": {"effort": "low"},
            "text": {"verbosity": "low"},
            "max_output_tokens": 9,
            "user": "u",
        }
        response = whole(TextDelta("x"), **body)
        text = {"format": {"type": "text"}, "verbosity": "low"}
        assert {name: response[name] for name in body} == {**body, "text": text}
        assert response["model"] == "upstream-model"

    def test_our_own_figures_are_marked(self) -> None:
        writer = encoder()
        writer.feed([Frame((TextDelta("x"),))])
        usage = orjson.loads(writer.finish(BILL._replace(estimated=True)))["usage"]
        assert usage == {**USAGE, "estimated": True}


class TestFailures:
    @pytest.mark.parametrize("begun", [False, True])
    def test_a_stream_tells_it_twice_and_ends(self, begun: bool) -> None:
        for truncated in (False, True):
            writer = encoder(stream=True)
            out = writer.feed([Frame((TextDelta("x"),))]) if begun else b""
            out += writer.truncate(BILL, CUT) if truncated else writer.fail(CUT)
            *before, error, failed = events_of(out)
            assert before[0]["type"] == "response.created"
            assert error == {
                "type": "error",
                "code": "insufficient_credits",
                "message": CUT.message,
                "param": "model",
            }
            assert failed["response"]["status"] == "failed"
            assert failed["response"]["error"] == {"code": "server_error", "message": CUT.message}
            assert len(failed["response"]["output"]) == begun

    def test_a_whole_answer_is_cut_or_fails(self) -> None:
        writer = encoder()
        with pytest.raises(GatewayError):
            writer.fail(CUT)
        with pytest.raises(GatewayError):
            writer.truncate(BILL, CUT)
        writer.feed([Frame((TextDelta("x"),))])
        response = orjson.loads(writer.truncate(BILL, CUT))
        assert (response["status"], response["incomplete_details"]) == (
            "incomplete",
            {"reason": "max_output_tokens"},
        )

    @pytest.mark.parametrize(("style", "code"), [("aggregator", "insufficient_credits"), ("gateway", "402")])
    def test_a_true_status_looks_as_for_a_chat(self, style: Any, code: str) -> None:
        body = orjson.loads(ResponsesDialect(style).error(CUT, "r1"))
        assert (body["error"]["code"], body["error"]["request_id"]) == (code, "r1")
