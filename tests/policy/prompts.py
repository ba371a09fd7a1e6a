"""The labelled prompts the `auto` alias is judged by, and how well it does.

Tiers are labelled by the work an answer takes, not by its words. Simple: one step, a short known answer
or a mechanical change to a given text. Capable: composing, explaining, ordinary code, a plan, some sums,
any choice of a tool. Complex: proofs, hard mathematics, several files or causes at once, design and
judgement under several constraints, work for an agent of many steps.

A third of the prompts, chosen by a hash of the text, is held out: cues and weights are never tuned on
it. Run as `python -m tests.policy.prompts` for the accuracy on both parts; `--errors` lists what is
wrong in the part that may be tuned on, `--speed` times the classifier.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from proxy.dialects.openai_request import read_chat
from proxy.policy.complexity import Verdict, classify
from proxy.words.chat import ChatRequest

FILE: Final = Path(__file__).with_name("prompts.jsonl")
TIERS: Final = ("simple", "capable", "complex")
PIXEL: Final = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


class Prompt(NamedTuple):
    """One labelled request. `turns` are the earlier messages, the user's and the assistant's by turns."""

    text: str
    tier: str
    lang: str
    kind: str
    tools: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
    system: str = ""
    images: int = 0

    @property
    def held_out(self) -> bool:
        """Whether the prompt belongs to the third that nothing is tuned on."""
        return hashlib.sha256(self.text.encode()).digest()[0] % 3 == 0

    def request(self) -> ChatRequest:
        """Return the request as the OpenAI dialect would read it."""
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.system}] if self.system else []
        for place, turn in enumerate(self.turns):
            messages.append({"role": "assistant" if place % 2 else "user", "content": turn})
        parts = [{"type": "text", "text": self.text}, *[PIXEL] * self.images]
        messages.append({"role": "user", "content": parts if self.images else self.text})
        tools = [{"type": "function", "function": {"name": name}} for name in self.tools]
        return read_chat({"model": "auto", "messages": messages, **({"tools": tools} if tools else {})})


def load() -> list[Prompt]:
    """Read every labelled prompt."""
    return [_prompt(orjson.loads(line)) for line in FILE.read_bytes().splitlines()]


def _prompt(row: dict[str, Any]) -> Prompt:
    row |= {name: tuple(row[name]) for name in ("tools", "turns") if name in row}
    return Prompt(**row)


class Result(NamedTuple):
    """A prompt and what became of it."""

    prompt: Prompt
    verdict: Verdict

    @property
    def right(self) -> bool:
        """Whether the verdict is the label."""
        return self.prompt.tier == self.verdict.tier


def results(prompts: Iterable[Prompt]) -> list[Result]:
    """Classify prompts."""
    return [Result(prompt, classify(prompt.request())) for prompt in prompts]


def accuracy(found: list[Result]) -> float:
    """Return the share of right verdicts."""
    return sum(result.right for result in found) / len(found)


def report(name: str, found: list[Result]) -> str:
    """Write the confusion matrix, a row for each label, and the accuracy."""
    counts = Counter((result.prompt.tier, result.verdict.tier) for result in found)
    lines = [f"{name:<10}" + "".join(f"{tier:>9}" for tier in TIERS)]
    lines += [f"{label:<10}" + "".join(f"{counts[label, tier]:>9}" for tier in TIERS) for label in TIERS]
    return "\n".join([*lines, f"accuracy {accuracy(found):.1%} of {len(found)}\n"])


def timings() -> Iterator[str]:
    """Time texts made of the prompts, which are thicker with cues than any real one; the best of many."""
    prompts = load()
    for lang in sorted({prompt.lang for prompt in prompts}, key=lambda lang: (lang != "en", lang)):
        lines = "\n".join(prompt.text for prompt in prompts if prompt.lang == lang) * 12
        for shape, text in (("lines", lines), ("one line", lines.replace("\n", " "))):
            cut = text.encode()[:4096].decode(errors="ignore")
            yield f"{lang} 4 KB, {shape:<9}{best(cut):6.1f} us"
    long = "\n".join(prompt.text for prompt in prompts)
    yield f"en 1 MB           {best((long * 12)[: 1 << 20]):6.1f} us"
    yield f"en hi             {best('hi'):6.1f} us"


def best(text: str) -> float:
    """Return the shortest time of 2,000 to classify a text, in microseconds."""
    call = Prompt(text, "", "", "").request()
    shortest = 10**9
    for _ in range(2000):
        start = time.perf_counter_ns()
        classify(call)
        shortest = min(shortest, time.perf_counter_ns() - start)
    return shortest / 1000


def main(arguments: list[str] | None = None) -> None:
    """Print how well and how fast the classifier does."""
    parser = argparse.ArgumentParser(prog="tests.policy.prompts", description=__doc__)
    parser.add_argument("--errors", action="store_true", help="list what is wrong in the tuned part")
    parser.add_argument("--speed", action="store_true", help="time the classifier")
    options = parser.parse_args(arguments)
    prompts = load()
    tuned = results(prompt for prompt in prompts if not prompt.held_out)
    lines = [report("tuned", tuned), report("held out", results(p for p in prompts if p.held_out))]
    if options.errors:
        wrong = [result for result in tuned if not result.right]
        lines += [f"{prompt.tier:<8} {verdict.reason}  {prompt.text[:60]!r}" for prompt, verdict in wrong]
    for line in [*lines, *(timings() if options.speed else ())]:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
