"""The project LLM dialect: its page, line by line."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.ai_llm import AILLMDialect, wants_text
from proxy.words.catalogue import Offer
from proxy.words.errors import FACES, GatewayError, Name
from proxy.words.money import Price, Rates

from .text_kit import BROKEN, DONE, answer, bill, events, frames, read, refusal, told

CHAT = AILLMDialect("chat")
GENERATE = AILLMDialect("generate")
PROMPT: dict[str, Any] = {"prompt": "Your prompt here"}
TURNS: dict[str, Any] = {
    "messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}],
}
OPTIONS: dict[str, Any] = {
    "model": "optional",
    "temperature": 0.7,
    "maxTokens": 4096,
    "systemPrompt": "optional",
}
USAGE = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}


@pytest.mark.parametrize(
    ("dialect", "asked", "roles"),
    [(GENERATE, PROMPT, ["user"]), (CHAT, TURNS, ["user", "assistant"])],
)
def test_requests_are_read_as_their_page_writes_them(
    dialect: AILLMDialect, asked: dict[str, Any], roles: list[str]
) -> None:
    bare = dialect.parse(orjson.dumps(asked))
    assert [message.role for message in bare.messages] == roles
    assert (bare.model, bare.max_tokens, bare.sampling.temperature) == ("", None, None)
    full = dialect.parse(orjson.dumps({**asked, **OPTIONS}))
    assert [message.role for message in full.messages] == ["system", *roles]
    assert (full.model, full.max_tokens, full.sampling.temperature) == ("optional", 4096, 0.7)


@pytest.mark.parametrize("dialect", [CHAT, GENERATE])
def test_both_answer_alike(dialect: AILLMDialect) -> None:
    body = {**PROMPT, **TURNS, "model": "smart"}
    kind, out = told(dialect, body, frames("A ", "list."), bill(5, 2))
    assert kind == "application/json"
    assert orjson.loads(out) == {
        "text": "A list.",
        "model": "smart",
        "finishReason": "stop",
        "usage": USAGE,
    }
    kind, out = told(dialect, {**body, "stream": True}, frames("A ", "list.", reason="length"), bill(5, 2))
    assert kind == "text/event-stream; charset=utf-8"
    last = {"model": "smart", "finishReason": "length", "usage": USAGE}
    assert events(out) == [{"text": "A "}, {"text": "list."}, last]


def test_a_client_that_accepts_plain_text_gets_it_bare() -> None:
    headers = {"accept": "text/plain"}
    kind, out = told(GENERATE, PROMPT, frames("Voilà ", "!"), bill(5, 2), headers=headers)
    assert (kind, out) == ("text/plain; charset=utf-8", "Voilà !".encode())
    kind, _ = told(GENERATE, {**PROMPT, "stream": True}, frames("x"), bill(5, 2), headers=headers)
    assert kind == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/plain", True),
        ("Text/Plain; charset=utf-8", True),
        ("text/plain, */*", True),
        ("application/json, text/plain, */*", False),
        ("application/json;q=0.5, text/plain", True),
        ("text/plain;q=0.5, application/json;q=0.9", False),
        ("text/plain;q=0", False),
        ("text/plain;q=much", False),
        ("text/html", False),
    ],
)
def test_plain_text_is_sent_to_who_would_rather_have_it(accept: str, wanted: bool) -> None:
    assert wants_text(accept) is wanted


@pytest.mark.parametrize(
    ("dialect", "body", "param"),
    [
        (GENERATE, {}, "prompt"),
        (GENERATE, {**PROMPT, "maxTokens": -1}, "maxTokens"),
        (GENERATE, {**PROMPT, "systemPrompt": 1}, "systemPrompt"),
        (GENERATE, {**PROMPT, "temperature": 3}, "temperature"),
        (CHAT, PROMPT, "messages"),
        (CHAT, {"messages": [{"role": "developer", "content": "x"}]}, "messages[0].role"),
        (CHAT, {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ],
)
def test_a_wrong_field_is_named(dialect: AILLMDialect, body: dict[str, Any], param: str) -> None:
    error = refusal(dialect, body)
    assert (error.name, error.param) == ("invalid_request", param)


def test_a_failure_has_the_name_of_the_table() -> None:
    names: list[Name] = list(FACES)
    for name in names:
        error = GatewayError(name, "So it is.", param="x", detail={"reason": "y"})
        expected = {"code": name, "message": "So it is.", "request_id": "r1"}
        assert orjson.loads(CHAT.error(error, "r1")) == {"error": expected}
        assert CHAT.status(error) == FACES[name].status


def test_an_upstreams_own_code_is_kept() -> None:
    error = GatewayError("invalid_request", "No.", code="content_policy_violation")
    assert orjson.loads(CHAT.error(error, "r1"))["error"]["code"] == "content_policy_violation"


def test_a_stream_that_fails_says_so_and_is_not_done() -> None:
    encoder = CHAT.encoder(CHAT.parse(orjson.dumps({**TURNS, "stream": True})), answer())
    out = encoder.feed(frames("x")[:2]) + encoder.fail(BROKEN)
    described = {"code": "upstream_error", "message": BROKEN.message, "request_id": "req_9f1a2e8"}
    assert read(out) == [{"text": "x"}, {"error": described}]
    assert DONE not in out


def test_models_are_told_with_what_a_menu_needs() -> None:
    offer = Offer("a/b", "B", "a", 1000, None, ("chat", "vision"), Price(Rates()))
    shown = {"id": "a/b", "name": "B", "provider": "a", "capabilities": ["chat", "vision"]}
    assert orjson.loads(CHAT.models([offer])) == {"data": [shown]}
    assert orjson.loads(CHAT.model(offer)) == shown
