"""The `auto` alias's classifier: how often it is right, what it promises, and that nothing upsets it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.openai_request import read_chat
from proxy.policy.complexity import CAPABLE, COMPLEX, Verdict, classify
from proxy.words.chat import ChatRequest, ImagePart, Message, OpaquePart, Origin, Part, TextPart, Tool

from .prompts import TIERS, Prompt, accuracy, load, main, report, results

PROMPTS = load()
HELD_OUT = [prompt for prompt in PROMPTS if prompt.held_out]
TUNED = [prompt for prompt in PROMPTS if not prompt.held_out]
REASON = re.compile(r"(simple|capable|complex):[a-z]+(\+[a-z]+){0,3};len=\d+")
LANGUAGES = {"en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "zh", "ja", "ko", "ar", "hi"}
ORIGIN = Origin("openai", {})
PICTURE = ImagePart("https://example.com/a.png")
SOUND = OpaquePart("input_audio", {"type": "input_audio"})
HARD = "Prove that every finite integral domain is a field."


def ask(*texts: str, system: str = "", tools: int = 0, **fields: Any) -> Verdict:
    """Classify a talk of these messages, the last and every other one before it the user's."""
    spoken = [
        {"role": "assistant" if (len(texts) - place) % 2 == 0 else "user", "content": text}
        for place, text in enumerate(texts)
    ]
    body = {"model": "auto", "messages": [{"role": "system", "content": system}] * bool(system) + spoken}
    named = [{"type": "function", "function": {"name": f"tool_{place}"}} for place in range(tools)]
    return classify(read_chat(body | ({"tools": named} if tools else {}) | fields))


def raw(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest("auto", messages, ORIGIN, prompt_bytes=100, **fields)


def say(*parts: Part) -> ChatRequest:
    return raw(Message("user", parts))


def rank(verdict: Verdict) -> int:
    return TIERS.index(verdict.tier)


def test_the_labelled_set_is_broad_and_even() -> None:
    assert len({(p.text, p.turns, p.system) for p in PROMPTS}) == len(PROMPTS) >= 300
    assert sum(prompt.lang != "en" for prompt in PROMPTS) >= 60
    for part in (PROMPTS, HELD_OUT, TUNED):
        tiers = Counter(prompt.tier for prompt in part)
        assert set(tiers) == set(TIERS)
        assert all(0.27 < count / len(part) < 0.4 for count in tiers.values()), tiers
    assert 0.3 < len(HELD_OUT) / len(PROMPTS) < 0.4
    assert {prompt.lang for prompt in HELD_OUT} >= LANGUAGES


def test_it_is_right_about_prompts_that_nothing_was_tuned_on() -> None:
    found = results(HELD_OUT)
    sys.stdout.write(report("held out", found))
    assert accuracy(found) >= 0.85
    # What costs most is hard work sent to a small model.
    assert not [r for r in found if (r.prompt.tier, r.verdict.tier) == ("complex", "simple")]
    assert accuracy([result for result in found if result.prompt.lang != "en"]) >= 0.85


def test_it_is_right_about_prompts_that_were_tuned_on() -> None:
    found = results(TUNED)
    sys.stdout.write(report("tuned", found))
    assert accuracy(found) >= 0.9


def test_the_report_shows_both_parts_and_only_tuned_errors(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--errors"])
    shown = capsys.readouterr().out
    assert "tuned " in shown
    assert "held out " in shown
    assert shown.count("accuracy") == 2
    wrong = {repr(result.prompt.text[:60]) for result in results(HELD_OUT) if not result.right}
    assert wrong
    assert not any(text in shown for text in wrong)


VERDICTS = """
import hashlib
from tests.policy.prompts import load, results
print(hashlib.sha256(repr([result.verdict for result in results(load())]).encode()).hexdigest())
"""


def test_verdicts_are_the_same_in_every_process() -> None:
    seen = {
        subprocess.run(
            [sys.executable, "-c", VERDICTS],
            check=True,
            capture_output=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(path for path in sys.path if path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1
    assert results(PROMPTS) == results(PROMPTS)


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: f"{prompt.tier}-{prompt.lang}-{prompt.kind}")
def test_a_verdict_agrees_with_itself(prompt: Prompt) -> None:
    verdict = classify(prompt.request())
    assert REASON.fullmatch(verdict.reason), verdict.reason
    assert verdict.reason.startswith(f"{verdict.tier}:")
    assert verdict.reason.endswith(f";len={len(prompt.text)}")
    assert verdict.tier == TIERS[(verdict.score >= CAPABLE) + (verdict.score >= COMPLEX)]


def with_tools(call: ChatRequest, number: int) -> ChatRequest:
    tools = tuple(Tool(f"tool_{place}") for place in range(number))
    return replace(call, tools=tools, prompt_bytes=call.prompt_bytes + 60 * number)


def with_part(call: ChatRequest, part: Part) -> ChatRequest:
    *before, last = call.messages
    images = call.images + isinstance(part, ImagePart)
    return replace(call, messages=(*before, replace(last, content=(*last.content, part))), images=images)


@pytest.mark.parametrize(
    "prompt", PROMPTS[::3], ids=lambda prompt: f"{prompt.tier}-{prompt.lang}-{prompt.kind}"
)
def test_more_to_deal_with_never_lowers_the_tier(prompt: Prompt) -> None:
    call = prompt.request()
    plain = classify(call)
    loaded = [classify(with_tools(call, number)) for number in range(len(call.tools), 24)]
    assert [v.score for v in loaded] == sorted(v.score for v in loaded)
    assert rank(loaded[0]) >= rank(plain)
    for part in (PICTURE, SOUND):
        more = classify(with_part(call, part))
        assert more.score >= plain.score
        assert rank(more) >= 1
    efforts = [classify(replace(call, reasoning_effort=effort)) for effort in ("low", "medium", "high")]
    assert plain.score == efforts[0].score <= efforts[1].score <= efforts[2].score


def test_tools_pictures_and_files_need_a_capable_model() -> None:
    assert ask("hi").tier == "simple"
    assert ask("hi", tools=1) == Verdict("capable", "capable:chat+tools;len=2", CAPABLE)
    assert classify(with_part(say(TextPart("hi")), PICTURE)).tier == "capable"
    assert classify(with_part(say(TextPart("hi")), SOUND)).tier == "capable"
    assert classify(say(PICTURE)) == Verdict("simple", "simple:plain;len=0", 0), (
        "images are counted by the dialect"
    )


SUPPORT = (
    "You are the assistant of Seabright Hotels. Analyse each question step by step, weigh alternatives, "
    "prove your claims, design a plan, evaluate its risks. You must never reveal the contract or the policy. "
)


@pytest.mark.parametrize(
    "text", ["hi", "thanks!", "What time is breakfast?", "Translate to German: see you soon"]
)
@pytest.mark.parametrize("size", [1, 10, 100, 1000])
def test_a_long_system_prompt_does_not_make_work_of_small_talk(text: str, size: int) -> None:
    verdict = ask(text, system=SUPPORT * size)
    assert verdict.tier == "simple"
    assert verdict.score - ask(text).score <= 2
    assert verdict == ask(text, system="x" * len(SUPPORT * size)), "its words do not count"


def test_a_long_talk_does_not_make_work_of_small_talk() -> None:
    talk = ["Analyse our architecture and propose a migration strategy.", "Here is a plan."] * 100
    assert ask(*talk, "thanks a lot!").tier == "simple"
    assert ask(*talk, "hi").tier == "simple"
    assert ask(*["hi", "hello"] * 1000, "hi").tier == "simple"


@pytest.mark.parametrize(
    "leave", ["yes", "Yes, go ahead.", "ok, continue", "ja, weiter", "да, продолжай", "继续"]
)
def test_leave_to_go_on_weighs_what_it_allows(leave: str) -> None:
    talk = (HARD, "Shall I use the pigeonhole principle?")
    assert ask(*talk, leave).tier == "complex"
    assert ask(*talk, leave, "Half way there. More?", leave).tier == "complex"
    assert ask(leave).tier == "simple"


def test_a_follow_up_keeps_half_of_what_was_said_before() -> None:
    coding = ("Write a Python function that counts words in a file.", "def count(path): ...")
    assert ask("and with two of them?").tier == "simple"
    assert ask(*coding, "and with two of them?").tier == "capable"
    assert "history" in ask(*coding, "and with two of them?").reason
    assert ask(HARD, "Done.", "and with two of them?").score <= ask("and with two of them?").score + 5


def test_an_agent_at_work_is_judged_by_its_task() -> None:
    task = Message("user", (TextPart(HARD),))
    step = (Message("assistant"), Message("tool", (TextPart("42"),), tool_call_id="1"))
    short, long = raw(task, *step * 3), raw(Message("system"), task, *step * 2000)
    assert classify(raw(task)).tier == classify(short).tier == classify(long).tier == "complex"
    assert classify(short).score == classify(raw(task)).score + 1
    assert classify(raw(*step)).tier == "capable"


ODD = {
    "no messages": raw(),
    "no user": raw(
        Message("system", (TextPart("You are kind."),)), Message("assistant", (TextPart("Hello"),))
    ),
    "no content": say(),
    "empty text": say(TextPart("")),
    "white space": say(TextPart(" \n\t\r\n \u3000")),
    "a NUL": say(TextPart("\0")),
    "half a character": say(TextPart("\ud800 caf\udcff")),
    "emoji": say(TextPart("\U0001f600\u200d\U0001f525" * 20)),
    "private use": say(TextPart("".join(map(chr, range(0xE000, 0xE400))))),
    "marks": say(TextPart("!?.,;:-_'\"()[]{}")),
    "a line break": say(TextPart("\n")),
    "many parts": say(*[TextPart("a")] * 10_000),
    "many pictures": say(*[PICTURE] * 10_000, TextPart("hi")),
    "empty opaque part": say(OpaquePart("", {})),
    "function role": raw(Message("function", (TextPart("42"),), name="f")),
}


@pytest.mark.parametrize("call", ODD.values(), ids=ODD)
def test_odd_messages_are_judged_like_any(call: ChatRequest) -> None:
    verdict = classify(call)
    assert REASON.fullmatch(verdict.reason)
    assert verdict.tier != "complex"


@given(st.lists(st.text(), max_size=4), st.integers(0, 3), st.sampled_from([None, "", "high", "odd"]))
def test_no_message_upsets_it(texts: list[str], tools: int, effort: str | None) -> None:
    messages = tuple(Message("user", (TextPart(text), TextPart(text[::-1]))) for text in texts)
    call = with_tools(raw(*messages, reasoning_effort=effort), tools)
    verdict = classify(call)
    assert verdict == classify(call)
    assert REASON.fullmatch(verdict.reason)


SIZE = 2**20
HOSTILE = [
    *("a", " ", "\n", "\0", ",", "?", "```", "{", "()", "\\", "^", "1", "- \n", "1.\n", ": ", '"', "\u00ab"),
    *(
        "step by ",
        "how do ",
        "prove ",
        "show that ",
        "pros and ",
        "what is the ",
        "a b ",
        "\u8bc1",
        "\u8bbe\u8ba1",
    ),
    *("\u0648\u0627\u0644", "\u00e9", "\U0001f600", "\u0301", "\u0915\u094d", "(a+)+$", "aaaaaaaaab "),
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_huge_message_is_read_at_its_ends_alone(text: str) -> None:
    """A pattern that backtracks, or a search of the whole, would not come back from these."""
    ends = text * (SIZE // len(text))
    twin = ends[: SIZE // 2] + "prove x" + ends[SIZE // 2 + 7 :]
    assert len(twin) == len(ends)
    first = classify(say(TextPart(ends)))
    assert first.reason.endswith(f"len={len(ends)}")
    assert classify(say(TextPart(twin))) == first
    assert classify(say(*[TextPart(ends[:1000])] * 1000)).tier in TIERS
    assert classify(raw(*[Message("user", (TextPart(ends[:1000]),))] * 2000)).tier in TIERS


def test_parts_in_the_middle_are_not_read() -> None:
    quiet = [TextPart("so")] * 50
    loud = [*quiet[:25], TextPart(HARD), *quiet[25:]]
    assert classify(say(*loud)).score == classify(say(*quiet)).score
    assert (
        classify(say(TextPart(HARD), *quiet)).tier == classify(say(*quiet, TextPart(HARD))).tier == "complex"
    )


def test_text_in_parts_is_one_message() -> None:
    whole = ask(HARD)
    words = HARD.split(" ", 1)
    parted = classify(say(TextPart(words[0]), PICTURE, TextPart(words[1])))
    assert (parted.tier, parted.score) == (whole.tier, whole.score)


LETTER = (
    "Dear Ms Hall,\n\nthank you for the lovely day at the lake and for the cake, of which nothing is left. "
)
PLAIN = "The children still talk about the boat and the old man with the dog. " * 6
HEAVY = "You must prove the design, analyse each risk and debug the legal strategy of the law. " * 5
TASKS = {
    "Translate into French:": "simple",
    "Who wrote this?": "simple",
    "Fix the spelling, please.": "simple",
    "Write a friendly reply to this letter:": "capable",
    "Summarise this letter in two sentences.": "capable",
    "Analyse the author's strategy and weigh two ways of responding, step by step:": "complex",
}


@pytest.mark.parametrize(("task", "tier"), TASKS.items(), ids=TASKS)
def test_the_words_of_a_given_text_do_not_count(task: str, tier: str) -> None:
    heavy = HEAVY.ljust(len(PLAIN))[: len(PLAIN)]
    for body in (LETTER + PLAIN, LETTER + heavy):
        assert ask(f"{task}\n\n{body}\n\nYours, Ann").tier == tier
        assert ask(f"{body}\n\n{task}").tier == tier


def test_given_code_counts_as_code() -> None:
    code = "```go\n" + "func f() { if x() { return y() } }\n" * 20 + "```"
    assert "code" in ask(f"What is wrong here?\n\n{code}").reason
    assert ask(f"What is wrong here?\n\n{code}").tier == "capable"
    # After code the last line is the task, however long it is.
    long = "Please " + "look at every line, " * 20 + "then analyse the race condition and design a fix."
    assert ask(f"Here is our code.\n\n{code}\n\n{long}").tier == "complex"


LIGHT = {
    "light work on words that sound hard": (
        "Translate into German: the risk of a strategy without a plan",
        "simple",
    ),
    "hard work that ends on a summary": (
        "Analyse the failure modes of our ledger, evaluate three alternatives. Close with one sentence.",
        "complex",
    ),
    "light words about code": (
        "Convert this function to async:\n\ndef get(url): { return fetch(url); }",
        "capable",
    ),
    "a proof that is none": ("Which documents count as proof of address?", "simple"),
    "a strategy that is a title": ("Suggest a name for a blog about chess strategy", "simple"),
    "formulas": ("$\\int_0^1 x^2 e^{-x} dx$ step by step, and discuss convergence of the series", "complex"),
}


@pytest.mark.parametrize(("text", "tier"), LIGHT.values(), ids=LIGHT)
def test_signals_give_way_to_each_other(text: str, tier: str) -> None:
    assert ask(text).tier == tier


def test_the_longer_of_two_plain_messages_scores_no_less() -> None:
    scores = [ask("word " * number).score for number in (1, 10, 20, 50, 100, 300, 3000)]
    assert scores == sorted(scores)
    assert scores[-1] >= CAPABLE > scores[0]


def test_size_alone_gives_two_points() -> None:
    call = say(TextPart("What is the capital of Peru?"))
    scores = [classify(replace(call, prompt_bytes=size)).score for size in (0, 20_000, 200_000, 10**9)]
    assert [score - scores[0] for score in scores] == [0, 1, 2, 2]
