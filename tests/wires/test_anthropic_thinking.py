"""Each generation of Claude models is asked to think, and how to sample, in its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.openai_request import read_chat
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.anthropic_models import traits
from proxy.wires.anthropic_thinking import MIN_BUDGET, SHARES
from proxy.wires.base import Target
from proxy.words.errors import GatewayError

WIRE = AnthropicWire()
HI = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f"}}
ADAPTIVE = {"type": "adaptive", "display": "summarized"}


def sent(model: str, **fields: Any) -> dict[str, Any]:
    """What is sent of thinking and sampling."""
    call = read_chat({"messages": [HI], **fields})
    body = orjson.loads(WIRE.encode(call, Target(model)).body)
    names = ("thinking", "output_config", "temperature", "top_p", "top_k")
    return {name: body[name] for name in names if name in body}


def refused(model: str, **fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        sent(model, **fields)
    return caught.value


def budget(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def adaptive(effort: str) -> dict[str, Any]:
    return {"thinking": ADAPTIVE, "output_config": {"effort": effort}}


class TestNames:
    TABLE: ClassVar[Sequence[tuple[str, str, bool, int, str | None, bool]]] = (
        # model, thinking, sampling, output, how it is switched off, always on
        ("claude-2.1", "none", True, 4_096, None, False),
        ("claude-3-haiku-20240307", "none", True, 4_096, None, False),
        ("claude-3-5-haiku-latest", "none", True, 8_192, None, False),
        ("claude-3-7-sonnet-20250219", "budget", True, 64_000, None, False),
        ("claude-opus-4-20250514", "budget", True, 32_000, None, False),
        ("claude-opus-4-0", "budget", True, 32_000, None, False),
        ("claude-opus-4-1-20250805", "budget", True, 32_000, None, False),
        ("claude-sonnet-4-20250514", "budget", True, 64_000, None, False),
        ("claude-sonnet-4-5-20250929", "budget", True, 64_000, None, False),
        ("claude-haiku-4-5", "budget", True, 64_000, None, False),
        ("claude-opus-4-6", "adaptive", True, 128_000, "disabled", False),
        ("claude-sonnet-4-6", "adaptive", True, 128_000, "disabled", False),
        ("claude-opus-4-7", "adaptive", False, 128_000, "disabled", False),
        ("claude-opus-5", "adaptive", False, 128_000, "disabled", False),
        ("claude-haiku-5-5", "adaptive", False, 128_000, "disabled", False),
        ("claude-sonnet-5", "adaptive", False, 128_000, "disabled", False),
        ("claude-sonnet-5-5", "adaptive", False, 128_000, "between_tools", False),
        ("claude-opus-5-5", "adaptive", False, 128_000, None, True),
        ("claude-fable-5", "adaptive", False, 128_000, None, True),
        ("claude-mythos-5-2", "adaptive", False, 128_000, None, True),
        ("claude-mythos-preview", "adaptive", False, 128_000, "disabled", False),
        ("claude-nova-12", "adaptive", False, 128_000, "disabled", False),
        ("us.anthropic.claude-opus-4-6-v1:0", "adaptive", True, 128_000, "disabled", False),
        ("anthropic/claude-sonnet-4.5", "budget", True, 64_000, None, False),
        ("Claude-Haiku-4-5@20251001", "budget", True, 64_000, None, False),
        ("kimi-k2", "budget", True, 8_192, None, False),
    )

    @pytest.mark.parametrize(("model", "thinking", "sampling", "output", "off", "always"), TABLE)
    def test_a_name_says_what_a_model_takes(
        self, model: str, thinking: str, sampling: bool, output: int, off: str | None, always: bool
    ) -> None:
        found = traits(model)
        assert (found.thinking, found.sampling, found.max_output) == (thinking, sampling, output)
        assert (found.off, found.always) == (off, always)

    @given(st.text(max_size=40) | st.from_regex(r"claude-[a-z0-9.-]{0,20}", fullmatch=True))
    def test_any_name_is_read(self, model: str) -> None:
        assert traits(model).max_output >= 4_096


class TestEffort:
    TABLE: ClassVar[Mapping[str, Mapping[str, dict[str, Any]]]] = {
        "claude-opus-4-5": {
            "none": {},
            "minimal": budget(2_000),
            "low": budget(4_000),
            "medium": budget(10_000),
            "high": budget(16_000),
            "xhigh": budget(19_000),
            "max": budget(19_000),
        },
        "claude-opus-4-6": {
            "none": {"thinking": {"type": "disabled"}},
            "minimal": adaptive("low"),
            "low": adaptive("low"),
            "medium": adaptive("medium"),
            "high": adaptive("high"),
            "xhigh": adaptive("high"),
            "max": adaptive("max"),
        },
        "claude-opus-5": {
            "none": {"thinking": {"type": "disabled"}},
            "minimal": adaptive("low"),
            "xhigh": adaptive("xhigh"),
            "max": adaptive("max"),
        },
        "claude-sonnet-5-5": {
            "none": {"thinking": {"type": "between_tools"}},
            "high": adaptive("high"),
        },
        "claude-3-5-haiku-latest": {"none": {}},
    }
    ROWS: ClassVar = [(model, effort, sent) for model, row in TABLE.items() for effort, sent in row.items()]

    @pytest.mark.parametrize(("model", "effort", "expected"), ROWS)
    def test_an_effort_becomes_what_the_model_knows(
        self, model: str, effort: str, expected: dict[str, Any]
    ) -> None:
        assert sent(model, reasoning_effort=effort, max_tokens=20_000) == expected

    def test_without_one_nothing_is_said(self) -> None:
        assert sent("claude-opus-5") == sent("claude-opus-4-5") == {}

    def test_an_effort_and_a_format_share_a_field(self) -> None:
        wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
        assert sent("claude-opus-5", reasoning_effort="low", response_format=wanted)["output_config"] == {
            "effort": "low",
            "format": {"type": "json_schema", "schema": {"type": "object"}},
        }

    @given(st.sampled_from(sorted(SHARES)), st.integers(MIN_BUDGET + 1, 200_000))
    def test_a_budget_is_within_what_is_allowed(self, effort: str, limit: int) -> None:
        found = sent("claude-haiku-4-5", reasoning_effort=effort, max_tokens=limit)
        assert MIN_BUDGET <= found["thinking"]["budget_tokens"] < limit

    @pytest.mark.parametrize(
        ("model", "fields", "param"),
        [
            ("claude-3-5-haiku-latest", {"reasoning_effort": "low"}, "reasoning_effort"),
            ("claude-opus-5-5", {"reasoning_effort": "none"}, "reasoning_effort"),
            ("claude-opus-5", {"reasoning_effort": "ludicrous"}, "reasoning_effort"),
            ("claude-opus-4-5", {"reasoning_effort": "low", "max_tokens": 1024}, "max_tokens"),
        ],
    )
    def test_what_a_model_cannot_do_is_refused(self, model: str, fields: dict[str, Any], param: str) -> None:
        error = refused(model, **fields)
        assert (error.name, error.param) == ("unsupported_parameter", param)


class TestSampling:
    TABLE: ClassVar[Sequence[tuple[str, dict[str, Any], dict[str, Any]]]] = (
        ("claude-opus-4-5", {"reasoning_effort": "none"}, {"temperature": 0.5, "top_k": 5}),
        ("claude-opus-4-5", {"reasoning_effort": "low"}, budget(12_800)),
        ("claude-opus-4-6", {"reasoning_effort": "low"}, adaptive("low")),
        (
            "claude-opus-4-6",
            {"reasoning_effort": "none"},
            {"thinking": {"type": "disabled"}, "temperature": 0.5, "top_k": 5},
        ),
        ("claude-opus-4-6", {}, {"temperature": 0.5, "top_k": 5}),
        ("claude-opus-4-7", {}, {}),
    )

    @pytest.mark.parametrize(("model", "fields", "expected"), TABLE)
    def test_a_model_that_thinks_is_not_told_how_to_sample(
        self, model: str, fields: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        assert sent(model, temperature=0.5, top_k=5, **fields) == expected


class TestForcedTools:
    @pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
    def test_a_forced_choice_excludes_thinking(self, choice: Any) -> None:
        fields = {"tools": [TOOL], "tool_choice": choice, "reasoning_effort": "high"}
        assert sent("claude-opus-4-5", temperature=0.5, **fields) == {"temperature": 0.5}
        assert sent("claude-opus-4-6", **fields) == {"output_config": {"effort": "high"}}

    @pytest.mark.parametrize("choice", ["auto", "none", None])
    def test_a_free_one_does_not(self, choice: Any) -> None:
        fields = {"tools": [TOOL], "tool_choice": choice, "reasoning_effort": "high"}
        assert sent("claude-opus-4-5", **fields) == budget(51_200)


def details(**entry: Any) -> list[dict[str, Any]]:
    return [
        {"type": "reasoning.text", "text": "Hm", "signature": "s", "format": "anthropic-claude-v1", **entry}
    ]


CALLS = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
ANSWERED = {"role": "tool", "tool_call_id": "c1", "content": "4"}


class TestToolLoops:
    TABLE: ClassVar[Sequence[tuple[Sequence[Any], bool]]] = (
        ([HI], True),
        ([HI, {"role": "assistant", "content": "4"}, HI], True),
        ([HI, {"role": "assistant", "tool_calls": CALLS}, ANSWERED], False),
        ([HI, {"role": "assistant", "tool_calls": CALLS}, ANSWERED, ANSWERED], False),
        ([HI, {"role": "assistant", "tool_calls": CALLS, "reasoning_details": details()}, ANSWERED], True),
        (
            [
                HI,
                {"role": "assistant", "tool_calls": CALLS, "reasoning_details": details(format="x")},
                ANSWERED,
            ],
            False,
        ),
        (
            [
                HI,
                {"role": "assistant", "tool_calls": CALLS, "reasoning_details": details(signature=None)},
                ANSWERED,
            ],
            False,
        ),
        ([HI, {"role": "assistant", "tool_calls": CALLS}, ANSWERED, HI], True),
        ([ANSWERED], True),
    )

    @pytest.mark.parametrize(("messages", "thinks"), TABLE)
    def test_a_budget_needs_the_turns_thinking_back(self, messages: Sequence[Any], thinks: bool) -> None:
        found = sent("claude-opus-4-5", messages=messages, reasoning_effort="high")
        assert ("thinking" in found) is thinks

    @pytest.mark.parametrize(("messages", "thinks"), TABLE)
    def test_an_adaptive_model_does_not(self, messages: Sequence[Any], thinks: bool) -> None:
        assert sent("claude-opus-5", messages=messages, reasoning_effort="high") == adaptive("high")


class TestTheClientsOwn:
    @pytest.mark.parametrize(
        ("model", "fields", "expected"),
        [
            (
                "claude-opus-4-5",
                {"thinking": {"type": "enabled", "budget_tokens": 2000}, "temperature": 0.5},
                budget(2000),
            ),
            (
                "claude-opus-4-6",
                {"thinking": {"type": "disabled"}, "temperature": 0.5},
                {"thinking": {"type": "disabled"}, "temperature": 0.5},
            ),
            (
                "claude-opus-5",
                {"thinking": {"type": "adaptive"}, "reasoning_effort": "low"},
                {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            ),
            (
                "claude-opus-4-5",
                {"thinking": {"type": "enabled", "budget_tokens": 2000}, "reasoning_effort": "low"},
                budget(2000),
            ),
            (
                "claude-opus-5",
                {"thinking": {"type": "adaptive"}, "reasoning_effort": "none"},
                {"thinking": {"type": "adaptive"}},
            ),
        ],
    )
    def test_thinking_in_anthropics_words_is_sent_as_it_is(
        self, model: str, fields: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        assert sent(model, **fields) == expected
