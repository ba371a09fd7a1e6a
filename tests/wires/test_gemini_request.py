"""What is sent to Gemini for an OpenAI client's request, and which field is named where it cannot be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.openai_request import read_chat
from proxy.wires.base import STREAMING, Target
from proxy.wires.gemini import GeminiWire
from proxy.wires.gemini_contents import MINTED, UNSIGNED
from proxy.words.call import Call
from proxy.words.chat import Origin
from proxy.words.errors import GatewayError
from proxy.words.media import SpeechRequest

WIRE = GeminiWire()
MODEL = "gemini-2.5-flash"
PIXEL = "iVBORw0KGgo="
PNG = f"data:image/png;base64,{PIXEL}"
HI: dict[str, Any] = {"role": "user", "content": "Hi"}
Json = dict[str, Any]


def sent(body: Mapping[str, Any], model: str = MODEL) -> Json:
    outgoing = WIRE.encode(read_chat({"messages": [HI], **body}), Target(model))
    parsed = orjson.loads(outgoing.body)
    assert isinstance(parsed, dict)
    return parsed


def refused(body: Mapping[str, Any], model: str = MODEL) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        sent(body, model)
    return caught.value


def text(*texts: str) -> list[Json]:
    return [{"text": each} for each in texts]


def user(*parts: Json) -> Json:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Json) -> Json:
    return {"role": "model", "parts": list(parts)}


def use(call_id: str, name: str, arguments: str = "{}", signature: str | None = None) -> Json:
    extra = {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **extra}


def calls(*uses: Json, content: Any = None) -> Json:
    return {"role": "assistant", "content": content, "tool_calls": list(uses)}


def result(call_id: str, content: Any) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def function_call(name: str, args: Json, call_id: str | None = None, **more: str) -> Json:
    named = {"name": name, "args": args}
    return {"functionCall": named if call_id is None else {"id": call_id, **named}, **more}


def response(name: str, answer: Json, call_id: str | None = None, **more: Any) -> Json:
    named = {"name": name, "response": answer, **more}
    return {"functionResponse": named if call_id is None else {"id": call_id, **named}}


class TestEnvelope:
    def test_the_key_is_in_its_header_alone(self) -> None:
        assert dict(WIRE.headers("AIza-1"))["x-goog-api-key"] == "AIza-1"
        outgoing = WIRE.encode(read_chat({"messages": [HI]}), Target(MODEL))
        assert "key" not in outgoing.path

    def test_without_a_key_a_stream_of_json_is_asked_for(self) -> None:
        assert WIRE.headers(None) == ()
        assert WIRE.encode(read_chat({"messages": [HI]}), Target(MODEL)).headers == STREAMING

    @pytest.mark.parametrize(
        ("asked", "path"),
        [
            ("gemini-2.5-flash", "/models/gemini-2.5-flash"),
            ("models/gemini-2.5-flash", "/models/gemini-2.5-flash"),
            ("tunedModels/mine-1", "/tunedModels/mine-1"),
            ("a/b", "/models/a%2Fb"),
            ("models/../x", "/models/..%2Fx"),
            ("tunedModels/../../v1/x", "/tunedModels/..%2F..%2Fv1%2Fx"),
            ("x?alt=json&key=1#y", "/models/x%3Falt%3Djson%26key%3D1%23y"),
            ("x:generateContent", "/models/x%3AgenerateContent"),
            ("a b\r\nc", "/models/a%20b%0D%0Ac"),
            ("é", "/models/%C3%A9"),
        ],
    )
    def test_a_model_stays_within_its_path_segment(self, asked: str, path: str) -> None:
        outgoing = WIRE.encode(read_chat({"messages": [HI]}), Target(asked))
        assert outgoing.path == f"{path}:streamGenerateContent?alt=sse"
        outgoing.path.encode("ascii")

    def test_a_plain_question_is_nothing_but_contents(self) -> None:
        assert sent({"model": "m", "stream": True, "stream_options": {"include_usage": True}}) == {
            "contents": [user({"text": "Hi"})]
        }

    def test_other_calls_are_refused(self) -> None:
        call: Call = SpeechRequest(model="m", origin=Origin("openai", {}), characters=1, told_bytes=1)
        with pytest.raises(GatewayError) as caught:
            WIRE.encode(call, Target(MODEL))
        assert caught.value.name == "unsupported_parameter"


MESSAGES: dict[str, tuple[Sequence[Json], Json]] = {
    "system and developer, wherever they stand": (
        [
            {"role": "system", "content": "A"},
            HI,
            {"role": "developer", "content": [{"type": "text", "text": "B"}, {"type": "text", "text": ""}]},
        ],
        {"contents": [user({"text": "Hi"})], "systemInstruction": {"parts": text("A", "B")}},
    ),
    "turns take turns": (
        [HI, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Bye"}],
        {"contents": [user(*text("Hi")), model(*text("Yes?")), user(*text("Bye"))]},
    ),
    "turns of one side are one": (
        [
            HI,
            {"role": "user", "content": "there", "name": "Ann"},
            {"role": "assistant", "content": "a"},
            {"role": "assistant", "content": "b"},
        ],
        {"contents": [user(*text("Hi", "there")), model(*text("a", "b"))]},
    ),
    "empty text is no part, an empty turn is none": (
        [HI, {"role": "assistant", "content": ""}, {"role": "assistant"}, {"role": "user", "content": "?"}],
        {"contents": [user(*text("Hi", "?"))]},
    ),
    "a refusal is text": (
        [HI, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, HI],
        {"contents": [user(*text("Hi")), model(*text("No.")), user(*text("Hi"))]},
    ),
    "a tool's round": (
        [HI, calls(use("c1", "f", '{"a": 1}')), result("c1", '{"b": 2}')],
        {
            "contents": [
                user(*text("Hi")),
                model(function_call("f", {"a": 1}, "c1")),
                user(response("f", {"b": 2}, "c1")),
            ]
        },
    ),
    "text, then calls in one turn; what the user adds is a turn of its own": (
        [
            HI,
            calls(use("c1", "f"), content="Let me see."),
            result("c1", "4"),
            {"role": "user", "content": "?"},
        ],
        {
            "contents": [
                user(*text("Hi")),
                model({"text": "Let me see."}, function_call("f", {}, "c1")),
                user(response("f", {"output": "4"}, "c1")),
                user(*text("?")),
            ]
        },
    ),
    "parallel results are one turn in the order of their calls, without ids that were made here": (
        [
            HI,
            calls(use(MINTED + "x_0_0", "f"), use(MINTED + "x_0_1", "f"), use("c3", "g")),
            result("c3", "three"),
            result(MINTED + "x_0_1", "two"),
            result(MINTED + "x_0_0", "one"),
        ],
        {
            "contents": [
                user(*text("Hi")),
                model(function_call("f", {}), function_call("f", {}), function_call("g", {}, "c3")),
                user(
                    response("f", {"output": "one"}),
                    response("f", {"output": "two"}),
                    response("g", {"output": "three"}, "c3"),
                ),
            ]
        },
    ),
    "an id used again names the later call": (
        [
            HI,
            calls(use("c", "f")),
            result("c", "1"),
            calls(use("c", "g")),
            result("c", [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}]),
        ],
        {
            "contents": [
                user(*text("Hi")),
                model(function_call("f", {}, "c")),
                user(response("f", {"output": "1"}, "c")),
                model(function_call("g", {}, "c")),
                user(response("g", {"output": "23"}, "c")),
            ]
        },
    ),
    "an image in a result": (
        [HI, calls(use("c", "f")), result("c", [{"type": "image_url", "image_url": {"url": PNG}}])],
        {
            "contents": [
                user(*text("Hi")),
                model(function_call("f", {}, "c")),
                user(
                    response(
                        "f",
                        {"output": ""},
                        "c",
                        parts=[{"inlineData": {"mimeType": "image/png", "data": PIXEL}}],
                    )
                ),
            ]
        },
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    messages, expected = MESSAGES[name]
    assert sent({"messages": messages}) == expected


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("{}", {}),
        ("", {"output": ""}),
        ("plain", {"output": "plain"}),
        ("[1]", {"output": "[1]"}),
        ("{broken", {"output": "{broken"}),
        ('{"output": 1, "more": 2}', {"output": '{"output": 1, "more": 2}'}),
        ('{"error": "x"}', {"output": '{"error": "x"}'}),
        ('{"id": 9007199254740993}', {"output": '{"id": 9007199254740993}'}),
    ],
)
def test_a_result_is_an_object_where_it_stays_what_it_is(content: str, read: Json) -> None:
    contents = sent({"messages": [HI, calls(use("c", "f")), result("c", content or "")]})["contents"]
    assert contents[-1]["parts"][0]["functionResponse"]["response"] == read


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    contents = sent({"messages": [HI, calls(use("c", "f", arguments))]})["contents"]
    assert contents[-1] == model(function_call("f", {}, "c"))


class TestSignatures:
    STEPS: Sequence[Json] = (
        HI,
        calls(use("a", "f", signature="U0lHLUE="), use("b", "f")),
        result("a", "1"),
        result("b", "2"),
        calls(use("c", "f"), use("d", "f", signature="U0lHLUQ=")),
        result("c", "3"),
        result("d", "4"),
    )

    def signatures(self, name: str) -> list[str | None]:
        contents = sent({"messages": list(self.STEPS)}, name)["contents"]
        parts = [part for turn in contents if turn["role"] == "model" for part in turn["parts"]]
        return [part.get("thoughtSignature") for part in parts]

    @pytest.mark.parametrize(
        "name", ["gemini-3-flash-preview", "gemini-3.1-pro-preview", "gemini-flash-latest"]
    )
    def test_they_go_back_and_a_lost_one_asks_not_to_be_checked(self, name: str) -> None:
        assert self.signatures(name) == ["U0lHLUE=", None, UNSIGNED, "U0lHLUQ="]

    @pytest.mark.parametrize("name", ["gemini-2.5-pro", "gemini-2.0-flash"])
    def test_models_that_do_not_ask_get_what_there_is(self, name: str) -> None:
        assert self.signatures(name) == ["U0lHLUE=", None, None, "U0lHLUQ="]


def part(kind: str, **held: Any) -> Json:
    return {"type": kind, **held}


def image(url: str, **more: str) -> Json:
    return part("image_url", image_url={"url": url, **more})


def inline(mime: str, data: str) -> Json:
    return {"inlineData": {"mimeType": mime, "data": data}}


def file(uri: str, mime: str | None = None) -> Json:
    return {"fileData": {"fileUri": uri} if mime is None else {"mimeType": mime, "fileUri": uri}}


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        (image(PNG), inline("image/png", PIXEL)),
        (image(PNG, detail="low"), inline("image/png", PIXEL)),
        (image("DATA:image/jpeg;charset=x;BASE64,AAAA"), inline("image/jpeg", "AAAA")),
        (image("data:image/svg+xml,%3Csvg%2F%3E"), inline("image/svg+xml", "PHN2Zy8+")),
        (image("https://a.example/x.png"), file("https://a.example/x.png", "image/png")),
        (image("https://a.example/x.JPG?s=1.gif"), file("https://a.example/x.JPG?s=1.gif", "image/jpeg")),
        (image("https://a.example/x"), file("https://a.example/x")),
        (image("HTTPS://a.example/x.webp"), file("HTTPS://a.example/x.webp", "image/webp")),
        (part("input_audio", input_audio={"format": "wav", "data": "UklG"}), inline("audio/wav", "UklG")),
        (
            part("file", file={"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}),
            inline("application/pdf", "JVBE"),
        ),
    ],
)
def test_media(asked: Json, written: Json) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "See"}, asked]}]
    assert sent({"messages": messages})["contents"] == [user({"text": "See"}, written)]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (image("http://a.example/x.png"), "image_url.url"),
        (image("ftp://a.example/x.png"), "image_url.url"),
        (image("https://"), "image_url.url"),
        (image("https://[::1/x"), "image_url.url"),
        (image("gs://bucket/x.png"), "image_url.url"),
        (image("file:///etc/passwd"), "image_url.url"),
        (image("https://generativelanguage.googleapis.com/v1beta/files/abc"), "image_url.url"),
        (image("https://GenerativeLanguage.googleapis.com./v1beta/files/abc"), "image_url.url"),
        (image(""), "image_url.url"),
        (image("data:image/png;base64"), "image_url.url"),
        (image("data:image/png;base64,"), "image_url.url"),
        (image("data:;base64,AAAA"), "image_url.url"),
        (image("data:pixel;base64,AAAA"), "image_url.url"),
        (part("input_audio", input_audio={"format": "pcm16", "data": "AA"}), "input_audio.format"),
        (part("input_audio", input_audio={"format": ["wav"], "data": "AA"}), "input_audio.format"),
        (part("input_audio", input_audio={"format": "wav"}), "input_audio.data"),
        (part("input_audio", input_audio="AA"), "type"),
        (part("file", file={"file_id": "file-1"}), "file"),
        (part("file", file={"file_data": "JVBE"}), "file"),
        (part("file", file={"file_data": "data:application/pdf;base64,"}), "file.file_data"),
        (part("video_url", video_url={"url": "https://a.example/x.mp4"}), "type"),
        (part("hologram"), "type"),
    ],
)
def test_media_that_cannot_be_sent_are_named(asked: Json, field: str) -> None:
    error = refused({"messages": [{"role": "user", "content": [{"type": "text", "text": "See"}, asked]}]})
    assert (error.name, error.param) == ("unsupported_parameter", f"messages[0].content[1].{field}")


FUNCTION = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def function(**members: Any) -> Json:
    return {"type": "function", "function": {"name": "f", **members}}


@pytest.mark.parametrize(
    ("tools", "declared"),
    [
        ([FUNCTION], [{"name": "f"}]),
        ([function(description="", parameters={})], [{"name": "f"}]),
        (
            [function(description="D", parameters=SCHEMA)],
            [{"name": "f", "description": "D", "parametersJsonSchema": SCHEMA}],
        ),
        ([FUNCTION, {"type": "function", "function": {"name": "g"}}], [{"name": "f"}, {"name": "g"}]),
    ],
)
def test_tools(tools: list[Json], declared: list[Json]) -> None:
    assert sent({"tools": tools})["tools"] == [{"functionDeclarations": declared}]


def named(name: str) -> Json:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: Any, *names: str) -> Json:
    tools = [named(name) for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


@pytest.mark.parametrize(
    ("choice", "strict", "config"),
    [
        (None, None, None),
        ("auto", False, None),
        (None, True, {"mode": "VALIDATED"}),
        ("auto", True, {"mode": "VALIDATED"}),
        ("none", True, {"mode": "NONE"}),
        ("required", True, {"mode": "ANY"}),
        (named("f"), None, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (allowed("required", "f", "g"), None, {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
        (allowed("auto", "f"), None, {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choice(choice: Any, strict: bool | None, config: Json | None) -> None:
    body = sent({"tools": [function(strict=strict)], "tool_choice": choice})
    assert body.get("toolConfig") == (None if config is None else {"functionCallingConfig": config})


def test_without_tools_there_is_nothing_to_choose() -> None:
    assert sent({"tool_choice": "none"}).keys() == {"contents"}
    assert refused({"tool_choice": "required"}).param == "tool_choice"


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"$schema": "x", "type": "object"}, {"type": "object"}),
        ({"const": "a"}, {"enum": ["a"]}),
        ({"const": 1, "enum": [1, 2]}, {"const": 1, "enum": [1, 2]}),
        ({"const": True}, {"const": True}),
        (
            {"properties": {"const": {"const": "a"}, "$schema": {"type": "string"}}},
            {"properties": {"const": {"enum": ["a"]}, "$schema": {"type": "string"}}},
        ),
        ({"anyOf": [{"const": "a"}, {"type": "null"}]}, {"anyOf": [{"enum": ["a"]}, {"type": "null"}]}),
        ({"items": {"const": 1}}, {"items": {"enum": [1]}}),
        (
            {"$defs": {"A": {"const": 1.5}}, "$ref": "#/$defs/A"},
            {"$defs": {"A": {"enum": [1.5]}}, "$ref": "#/$defs/A"},
        ),
        (
            {"additionalProperties": False, "default": {"const": "a"}},
            {"additionalProperties": False, "default": {"const": "a"}},
        ),
        ({"properties": 7, "anyOf": 7}, {"properties": 7, "anyOf": 7}),
    ],
)
def test_schemas_are_cleaned_where_they_are_schemas(schema: Json, written: Json) -> None:
    (declared,) = sent({"tools": [function(parameters=schema)]})["tools"][0]["functionDeclarations"]
    assert declared["parametersJsonSchema"] == written
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    assert sent({"response_format": wanted})["generationConfig"]["responseJsonSchema"] == written


CONFIGS: Sequence[tuple[Json, Json]] = (
    ({"temperature": 0}, {"temperature": 0}),
    ({"temperature": 1.5, "top_p": 0.9, "top_k": 40}, {"temperature": 1.5, "topP": 0.9, "topK": 40}),
    ({"max_tokens": 5}, {"maxOutputTokens": 5}),
    ({"max_tokens": 5, "max_completion_tokens": 6}, {"maxOutputTokens": 6}),
    ({"n": 2}, {"candidateCount": 2}),
    ({"n": 1, "temperature": None}, {}),
    ({"stop": "x"}, {"stopSequences": ["x"]}),
    ({"stop": ["x", "", "y"]}, {"stopSequences": ["x", "y"]}),
    ({"stop": []}, {}),
    ({"seed": 0}, {"seed": 0}),
    ({"seed": -1}, {"seed": -1}),
    ({"seed": 2**31}, {"seed": 0}),
    ({"seed": 2**62 + 7}, {"seed": 7}),
    (
        {"presence_penalty": 0.5, "frequency_penalty": -0.5},
        {"presencePenalty": 0.5, "frequencyPenalty": -0.5},
    ),
    ({"logprobs": True}, {"responseLogprobs": True}),
    ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
    ({"logprobs": False, "top_logprobs": 3}, {}),
    ({"response_format": {"type": "text"}}, {}),
    ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        {"responseMimeType": "application/json"},
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
        {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
    ),
    ({"modalities": ["text"]}, {}),
    ({"modalities": ["text", "image"]}, {"responseModalities": ["TEXT", "IMAGE"]}),
)


@pytest.mark.parametrize(("asked", "config"), CONFIGS)
def test_generation_config(asked: Json, config: Json) -> None:
    assert sent(asked).get("generationConfig", {}) == config


def budget(tokens: int) -> Json:
    return {"includeThoughts": True, "thinkingBudget": tokens}


def level(name: str) -> Json:
    return {"includeThoughts": True, "thinkingLevel": name}


EFFORTS = ("minimal", "low", "medium", "high")


@pytest.mark.parametrize(
    ("names", "configs"),
    [
        (
            ("gemini-2.5-flash", "gemini-2.5-pro", "models/gemini-2.5-flash-lite"),
            (budget(1024), budget(1024), budget(8192), budget(24576)),
        ),
        (
            ("gemini-3-flash-preview", "gemini-3.1-flash-lite", "gemini-3.5-flash", "gemini-flash-latest"),
            (level("MINIMAL"), level("LOW"), level("MEDIUM"), level("HIGH")),
        ),
        (
            ("gemini-3.1-pro-preview", "gemini-pro-latest"),
            (level("LOW"), level("LOW"), level("MEDIUM"), level("HIGH")),
        ),
        (("gemini-3-pro-preview",), (level("LOW"), level("LOW"), level("HIGH"), level("HIGH"))),
    ],
)
def test_effort_is_a_level_or_a_budget_by_model(names: Sequence[str], configs: Sequence[Json]) -> None:
    for name in names:
        for effort, config in zip(EFFORTS, configs, strict=True):
            assert sent({"reasoning_effort": effort}, name)["generationConfig"] == {"thinkingConfig": config}


def test_thinking_is_switched_off_where_it_can_be() -> None:
    off = {"reasoning_effort": "none"}
    assert sent(off, "gemini-2.5-flash")["generationConfig"] == {"thinkingConfig": {"thinkingBudget": 0}}
    assert "generationConfig" not in sent(off, "gemini-2.0-flash")
    for name in ("gemini-2.5-pro", "gemini-3-flash-preview", "gemini-flash-latest"):
        assert refused(off, name).param == "reasoning_effort"


def native(**members: Any) -> Json:
    return {"extra_body": {"google": {"thinking_config": members}}}


@pytest.mark.parametrize(
    ("asked", "config"),
    [
        (
            native(thinking_budget=-1, include_thoughts=False),
            {"thinkingBudget": -1, "includeThoughts": False},
        ),
        (native(thinking_level="low"), {"thinkingLevel": "low"}),
        (native(thinking_level=None, include_thoughts=True), {"includeThoughts": True}),
    ],
)
def test_googles_own_form_of_thinking_is_taken(asked: Json, config: Json) -> None:
    assert sent(asked)["generationConfig"] == {"thinkingConfig": config}


def test_an_empty_extra_body_asks_for_nothing() -> None:
    assert "generationConfig" not in sent({"extra_body": {"google": {}}})


def message(**members: Any) -> Json:
    return {"messages": [HI, {"role": "assistant", "content": "a", **members}]}


REFUSALS: Sequence[tuple[Json, str]] = (
    ({"logit_bias": {"7": 1}}, "logit_bias"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"function_call": {"name": "f"}}, "function_call"),
    ({"audio": {"voice": "x"}}, "audio"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"modalities": "text"}, "modalities"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"verbosity": "low"}, "verbosity"),
    ({"cached_content": "cachedContents/1"}, "cached_content"),
    ({"a_vendor's_own": 1}, "a_vendor's_own"),
    ({"x" * 100: 1}, "x" * 64),
    ({"tools": [FUNCTION], "parallel_tool_calls": False}, "parallel_tool_calls"),
    ({"tools": [FUNCTION, {"type": "web_search"}]}, "tools[1].type"),
    ({"tools": [FUNCTION], "tool_choice": "any"}, "tool_choice"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "custom"}}, "tool_choice"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function"}}, "tool_choice.function.name"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
    ({"tools": [FUNCTION], "tool_choice": allowed("any", "f")}, "tool_choice.allowed_tools.mode"),
    ({"tools": [FUNCTION], "tool_choice": allowed([], "f")}, "tool_choice.allowed_tools.mode"),
    (
        {"tools": [FUNCTION], "tool_choice": allowed("auto", "f", "")},
        "tool_choice.allowed_tools.tools[1].function.name",
    ),
    ({"stop": list("abcdef")}, "stop"),
    ({"top_k": 0}, "top_k"),
    ({"top_k": 1.5}, "top_k"),
    ({"top_k": True}, "top_k"),
    ({"response_format": {"type": "grammar"}}, "response_format.type"),
    ({"reasoning_effort": "xhigh"}, "reasoning_effort"),
    ({"reasoning_effort": "low", **native(thinking_budget=1)}, "extra_body.google.thinking_config"),
    ({"extra_body": {"google": {"cached_content": "x"}}}, "extra_body"),
    ({"extra_body": {"google": 7}}, "extra_body"),
    ({"extra_body": {"other": 7}}, "extra_body"),
    ({"extra_body": 7}, "extra_body"),
    ({"extra_body": {"google": {"thinking_config": 7}}}, "extra_body.google.thinking_config"),
    (native(speed=1), "extra_body.google.thinking_config.speed"),
    (native(thinking_budget=True), "extra_body.google.thinking_config.thinking_budget"),
    (native(thinking_level=1), "extra_body.google.thinking_config.thinking_level"),
    (message(function_call={"name": "f", "arguments": ""}), "messages[1].function_call"),
    (message(audio={"id": "x"}), "messages[1].audio"),
    (message(images=[{"type": "image_url"}]), "messages[1].images"),
    (message(tool_calls=[{"id": "c", "type": "custom", "custom": {}}]), "messages[1].tool_calls[0].type"),
    ({"messages": [HI, {"role": "function", "name": "f", "content": "x"}]}, "messages[1].role"),
    ({"messages": [{"role": "system", "content": [image(PNG)]}, HI]}, "messages[0].content[0]"),
    (
        {"messages": [HI, calls(use("c", "f")), result("c", [image("https://a.example/x.png")])]},
        "messages[2].content[0]",
    ),
)


@pytest.mark.parametrize(("asked", "param"), REFUSALS)
def test_what_gemini_cannot_do_is_refused_by_name(asked: Json, param: str) -> None:
    error = refused(asked)
    assert (error.name, error.param) == ("unsupported_parameter", param)
    assert error.message.endswith(".")


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"messages": [{"role": "system", "content": "A"}]}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [HI, result("c", "1")]}, "messages[1].tool_call_id"),
        ({"messages": [HI, result("c", "1"), calls(use("c", "f"))]}, "messages[1].tool_call_id"),
        ({"messages": [HI, calls(use("c", "f", "{"))]}, "messages[1].tool_calls[0].function.arguments"),
        ({"messages": [HI, calls(use("c", "f", "[1]"))]}, "messages[1].tool_calls[0].function.arguments"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(asked: Json, param: str) -> None:
    error = refused(asked)
    assert (error.name, error.param) == ("invalid_request", param)


@pytest.mark.parametrize(
    "harmless",
    [
        {"logit_bias": {}, "functions": [], "service_tier": "auto", "verbosity": "medium", "audio": None},
        {
            "user": "u",
            "store": True,
            "metadata": {"a": "b"},
            "safety_identifier": "s",
            "prompt_cache_key": "k",
        },
        {"prediction": {"type": "content", "content": "x"}, "parallel_tool_calls": True},
        {"function_call": "auto", "extra_body": {}},
        {"messages": [{**HI, "name": "Ann", "a_vendor's_own": 1}]},
    ],
)
def test_what_changes_no_answer_is_left_out(harmless: Json) -> None:
    assert sent(harmless) == {"contents": [user({"text": "Hi"})]}


def test_a_request_in_another_language_is_read_from_its_words() -> None:
    call = read_chat({"messages": [HI], "tools": [FUNCTION], "max_tokens": 5, "user": "u"})
    other = replace(call, origin=Origin("other", {"prompt": "in another language", "logit_bias": {"1": 1}}))
    assert orjson.loads(WIRE.encode(other, Target(MODEL)).body) == {
        "contents": [user({"text": "Hi"})],
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
        "generationConfig": {"maxOutputTokens": 5},
    }
    for more, param in (
        ({"extra": {"mystery": 1}}, "mystery"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
    ):
        with pytest.raises(GatewayError) as caught:
            WIRE.encode(replace(other, **more), Target(MODEL))
        assert caught.value.param == param


def test_the_clients_body_is_left_as_it_was() -> None:
    body = {
        "messages": [HI, calls(use("c", "f", '{"a": 1}'), content="x"), result("c", '{"b": 2}')],
        "tools": [function(parameters={"$schema": "x", "properties": {"a": {"const": "b"}}}, strict=True)],
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"const": 1}}},
    }
    before = orjson.dumps(body)
    WIRE.encode(read_chat(body), Target("gemini-3-flash-preview"))
    assert orjson.dumps(body) == before


TEXT = st.text(max_size=6)
CONTENT = st.one_of(
    st.none(),
    TEXT,
    st.lists(
        st.one_of(
            st.builds(lambda t: {"type": "text", "text": t}, TEXT),
            st.builds(image, st.sampled_from([PNG, "https://a.example/x", "data:,", "", "https://["])),
            st.builds(
                lambda k: {"type": k, k: {"format": "wav", "data": "A"}},
                st.sampled_from(["input_audio", "x"]),
            ),
        ),
        max_size=3,
    ),
)
MESSAGE = st.one_of(
    st.builds(
        lambda r, c: {"role": r, "content": c or "x"},
        st.sampled_from(["system", "user", "developer"]),
        CONTENT,
    ),
    st.builds(
        lambda i, c: {"role": "tool", "tool_call_id": i, "content": c or "x"}, st.sampled_from("ab"), CONTENT
    ),
    st.builds(
        lambda c, ids, a: calls(*[use(i, "f", a) for i in ids], content=c),
        CONTENT,
        st.lists(st.sampled_from("ab"), max_size=2),
        st.sampled_from(["{}", "", "[", '{"a": {"b": 1}}']),
    ),
)


@given(st.lists(MESSAGE, min_size=1, max_size=6), st.sampled_from(["gemini-2.5-flash", "gemini-3-pro", "x"]))
def test_any_conversation_is_written_well_or_refused(messages: list[Json], name: str) -> None:
    try:
        body = sent({"messages": messages}, name)
    except GatewayError as error:
        refusal = error
    else:
        assert well_formed(body["contents"])
        return
    assert refusal.face.status == 400
    assert refusal.param


def well_formed(contents: list[Json]) -> bool:
    """Turns that hold something, alternate, and hold results apart from all else."""
    kinds = []
    for turn in contents:
        assert turn["role"] in {"user", "model"}
        responses = {"functionResponse" in each for each in turn["parts"]}
        assert len(responses) == 1
        kinds.append((turn["role"], responses))
    return all(before != after for before, after in pairwise(kinds))


@pytest.mark.parametrize(("asked", "sent_on"), [({}, 50), ({"max_tokens": 20}, 20), ({"max_tokens": 51}, 50)])
def test_a_keys_limit_is_the_most_that_is_asked_for(asked: Json, sent_on: int) -> None:
    call = read_chat({"messages": [HI], **asked})
    body = orjson.loads(WIRE.encode(call, Target(MODEL, max_output=50)).body)
    assert body["generationConfig"] == {"maxOutputTokens": sent_on}
