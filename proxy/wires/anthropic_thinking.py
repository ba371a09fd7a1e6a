"""From `reasoning_effort` to Anthropic's `thinking` and `output_config.effort`.

Source: platform.claude.com/docs/en/build-with-claude/{thinking,extended-thinking,effort}. Where a model is
steered by a budget, an effort is a share of the answer's limit, as OpenRouter defines it
(openrouter.ai/docs/use-cases/reasoning-tokens): thinking counts towards `max_tokens` at Anthropic as
reasoning does towards `max_completion_tokens` at OpenAI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from proxy.words.chat import ChatRequest, Message
from proxy.words.errors import GatewayError

from .anthropic_messages import comes_back
from .anthropic_models import Traits

MIN_BUDGET: Final = 1024
"""The least Anthropic takes; a budget is also less than `max_tokens`."""
SHARES: Final[Mapping[str, int]] = {
    "minimal": 10,
    "low": 20,
    "medium": 50,
    "high": 80,
    "xhigh": 95,
    "max": 95,
}
"""An effort as a percentage of the answer's limit."""
_EFFORTS: Final[Mapping[str, str]] = {"minimal": "low"}
_FIELD: Final = "reasoning_effort"


class Reasoning(NamedTuple):
    """What is sent of it; `effort` is a member of `output_config`."""

    thinking: Mapping[str, Any] | None = None
    effort: str | None = None

    @property
    def on(self) -> bool:
        """Whether the request itself asks to think, which forbids to set how tokens are sampled."""
        return self.thinking is not None and self.thinking.get("type") in {"enabled", "adaptive"}


def reasoning_for(call: ChatRequest, model: Traits, limit: int, unsaid: str | None = None) -> Reasoning:
    """Decide how a model thinks; `limit` is the answer's `max_tokens`.

    `unsaid` is the effort of a request that says nothing of it, where the model can think at all. A client's
    own `thinking` is sent as it is. A choice of tool that is forced excludes thinking, and a budget needs
    the turn's earlier thinking to come back: in both cases a model that can goes without.

    Raises:
        GatewayError: `unsupported_parameter` where the model cannot think so, or cannot but think.
    """
    own, effort = call.extra.get("thinking"), call.reasoning_effort
    if effort is not None and effort != "none" and effort not in SHARES:
        raise _unsupported(f"'{_FIELD}' must be one of none, {', '.join(SHARES)}.")
    if isinstance(own, dict):
        return Reasoning(own, _level(effort, model))
    if effort is None and model.thinking != "none" and (model.thinking != "budget" or limit > MIN_BUDGET):
        effort = unsaid
    if effort is None:
        return Reasoning()
    if effort == "none":
        return _switched_off(model)
    if model.thinking == "none":
        raise _unsupported(f"This model does not reason: '{_FIELD}' cannot be set.")
    if model.thinking == "adaptive":
        shown = None if _forces(call.tool_choice) else {"type": "adaptive", "display": "summarized"}
        return Reasoning(shown, _level(effort, model))
    if _forces(call.tool_choice) or _lacks_reasoning(call.messages):
        return Reasoning()
    return Reasoning({"type": "enabled", "budget_tokens": _budget(effort, limit)})


def _switched_off(model: Traits) -> Reasoning:
    if model.always:
        raise _unsupported(f"This model always reasons: '{_FIELD}' cannot be 'none'.")
    return Reasoning() if model.off is None else Reasoning({"type": model.off})


def _level(effort: str | None, model: Traits) -> str | None:
    if effort is None or effort == "none" or model.thinking != "adaptive":
        return None
    if effort == "xhigh" and not model.xhigh:
        return "high"
    return _EFFORTS.get(effort, effort)


def _budget(effort: str, limit: int) -> int:
    if limit <= MIN_BUDGET:
        text = f"To reason, this model needs a 'max_tokens' of more than {MIN_BUDGET}."
        raise GatewayError("unsupported_parameter", text, param="max_tokens")
    return max(MIN_BUDGET, limit * SHARES[effort] // 100)


def _forces(tool_choice: object) -> bool:
    return tool_choice == "required" or isinstance(tool_choice, dict)


def _lacks_reasoning(messages: tuple[Message, ...]) -> bool:
    """Tell whether tools have answered a turn whose reasoning did not come back with it."""
    before = next((message for message in reversed(messages) if message.role != "tool"), None)
    if before is None or before.role != "assistant" or before is messages[-1]:
        return False
    return not any(map(comes_back, before.content))


def _unsupported(text: str) -> GatewayError:
    return GatewayError("unsupported_parameter", text, param=_FIELD)
