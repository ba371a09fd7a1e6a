"""What is asked and when: lengths, schedules, bodies, addresses, scenarios."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import fmean, median

import orjson
import pytest

from bench.driver.lengths import Lengths
from bench.driver.load import Ask, Load, Phase
from bench.driver.pacer import arrivals
from bench.driver.prompts import bodies
from bench.driver.scenario import find, names, read_load
from bench.driver.target import key_of, read_target


@pytest.mark.parametrize("word", ["128", "uniform:64-256", "normal:200,50", "lognormal:200,0.6"])
def test_a_length_is_said_as_it_is_read(word: str) -> None:
    assert str(Lengths.read(word)) == word


@pytest.mark.parametrize("word", ["", "ten", "uniform:9-1", "normal:1", "zipf:1,2", "-5", "nan"])
def test_no_length(word: str) -> None:
    with pytest.raises(ValueError, match=r"no length|no such|out of range|before it begins"):
        Lengths.read(word)


def test_lengths_are_distributed_as_they_say() -> None:
    chance = Random(1)

    def drawn(word: str) -> list[int]:
        length = Lengths.read(word)
        return [length.draw(chance) for _ in range(4000)]

    assert set(drawn("7")) == {7}
    assert set(drawn("uniform:2-4")) == {2, 3, 4}
    assert fmean(drawn("normal:200,20")) == pytest.approx(200, rel=0.02)
    assert median(drawn("lognormal:200,0.6")) == pytest.approx(200, rel=0.05)
    assert min(drawn("normal:1,50")) == 0


def test_even_arrivals() -> None:
    load = Load(arrival="constant", phases=(Phase(1.0, 4.0),), warmup=0.5)
    assert list(arrivals(load, Random(1))) == pytest.approx([-0.25, 0, 0.25, 0.5, 0.75])


def test_arrivals_on_a_ramp_come_closer_together() -> None:
    load = Load(arrival="constant", phases=(Phase(10.0, 0.0, 20.0),), warmup=0)
    due = list(arrivals(load, Random(1)))
    assert len(due) == 99  # half of 10 x 20, the last on the very end
    assert due == pytest.approx([math.sqrt(number) for number in range(1, 100)])


def test_poisson_arrivals_are_of_their_rate_and_their_seed() -> None:
    load = Load(phases=(Phase(100.0, 50.0), Phase(100.0, 0.0), Phase(10.0, 5.0)), warmup=1)
    due = list(arrivals(load, Random(3)))
    assert due == list(arrivals(load, Random(3))) != list(arrivals(load, Random(4)))
    assert due == sorted(due)
    counted = [each for each in due if 0 <= each < 100]
    assert len(counted) == pytest.approx(5000, rel=0.05)
    gaps = [after - before for before, after in pairwise(counted)]
    # Of an exponential distribution the deviation is the mean.
    assert fmean(gap * gap for gap in gaps) == pytest.approx(2 * fmean(gaps) ** 2, rel=0.1)
    assert not [each for each in due if 100.1 < each < 200]


def test_the_rate_is_known_at_any_time() -> None:
    load = Load(phases=Phase.read("10,20-40@4", 2))
    assert [load.rate_at(offset) for offset in (-1, 1, 2.5, 5, 7)] == [10, 10, 22.5, 35, 0]
    assert load.seconds == 6


@pytest.mark.parametrize("text", ["", "fast", "10@", "10@0", "-1", "10@2,"])
def test_no_rate(text: str) -> None:
    if text == "10@":
        assert Phase.read(text, 3) == (Phase(3, 10),)
        return
    with pytest.raises(ValueError, match=r"no rate|out of range"):
        Phase.read(text, 3)


def test_bodies_are_all_different_and_the_same_next_time() -> None:
    asks = (
        Ask("short", 3, prompt=Lengths.read("uniform:10-20"), output=Lengths.read(5)),
        Ask("long", 1, model="m", prompt=Lengths.read(1000), stream=False, more={"temperature": 0}),
    )
    made = bodies(Load(asks=asks))
    assert made == bodies(Load(asks=asks))
    assert len({body.tail for body in made}) == len(made) == 1000
    assert sum(body.kind for body in made) == pytest.approx(250, rel=0.2)
    for body in made:
        head, _, text = body.tail.partition(b"\r\n\r\n")
        assert head == b"\r\nContent-Length: %d" % len(text)
        fields = orjson.loads(text)
        prompt = len(fields["messages"][0]["content"])
        if body.kind == 0:
            assert 40 <= prompt <= 80
            assert (fields["max_tokens"], fields["stream"]) == (5, True)
        else:
            assert (prompt, fields["model"], fields["temperature"]) == (4000, "m", 0)
            assert "stream" not in fields


def test_huge_bodies_are_no_more_than_there_is_room_for() -> None:
    made = bodies(Load(asks=(Ask(prompt=Lengths.read(1_000_000)),)))
    assert sum(len(body.tail) for body in made) < 70 * 2**20


DATASET = """\
{"conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Good morning"}]}

{"messages": [{"role": "user", "content": "Two"}], "max_tokens": 7}
{"prompt": "Three"}
"""


def test_prompts_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(DATASET)
    made = [orjson.loads(body.tail.partition(b"\r\n\r\n")[2]) for body in bodies(Load(dataset=str(path)))[:4]]
    assert [each["messages"][0]["content"] for each in made] == ["Hello", "Two", "Three", "Hello"]
    assert [each["max_tokens"] for each in made] == [3, 7, 64, 3]


@pytest.mark.parametrize(
    ("text", "match"), [("", "no prompts"), ("{}", "line 1"), ("[1]", "line 1"), ("{", "line 1")]
)
def test_a_file_without_prompts(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=match):
        bodies(Load(dataset=str(path)))


@pytest.mark.parametrize(
    ("text", "name", "url"),
    [
        ("http://h:8000/v1", "h", "http://h:8000/v1/chat/completions"),
        ("a=https://api.h.org/v1/", "a", "https://api.h.org:443/v1/chat/completions"),
        ("http://[::1]:81/v1/chat/completions", "::1", None),
        ("b=http://[::1]:81/x/chat/completions?v=2", "b", "http://[::1]:81/x/chat/completions?v=2"),
        ("http://h/v1?api-version=1=2", "h", "http://h:80/v1/chat/completions?api-version=1=2"),
        ("a=ftp://h/v1", "a", None),
        ("=http://h/v1", "h", "http://h:80/v1/chat/completions"),
        ("h:8000", "h", None),
    ],
)
def test_addresses(text: str, name: str, url: str | None) -> None:
    if url is None:
        with pytest.raises(ValueError, match=r"no http or https URL|no name"):
            read_target(text, headers={})
        return
    target = read_target(text, headers={"X-A": "b"})
    assert (target.name, target.url) == (name, url)
    assert b"\r\nX-A: b\r\nX-Request-ID: " in target.head()


def test_a_head_names_the_port_where_it_is_not_the_usual_one() -> None:
    assert b"Host: h\r\n" in read_target("https://h/v1", headers={}).head()
    assert b"Host: h:80\r\n" in read_target("https://h:80/v1", headers={}).head()


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_KEY", raising=False)
    assert key_of("a b") is None
    monkeypatch.setenv("BENCH_KEY", "all")
    monkeypatch.setenv("BENCH_KEY_A_B", "own")
    assert (key_of("a b"), key_of("c")) == ("own", "all")


@pytest.mark.parametrize("name", names())
def test_scenarios_that_come_along_can_be_read(name: str) -> None:
    scenario = find(name)
    assert scenario.title
    assert scenario.about
    assert all(event.provider < len(scenario.stand.providers) for event in scenario.stand.events)
    assert scenario.load.closed or any(phase.rate for phase in scenario.load.phases)


def test_the_scenarios_there_have_to_be() -> None:
    assert set(names()) >= {
        "steady", "burst", "heavy_tail", "outage", "cancel_storm", "long_prompts", "head_of_line",
        "limit_storm", "cold_start",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["[load]\nrat = 1", "[[load.asks]]\nprompt = 'x'", "colour = 1", "["])
def test_a_scenario_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"s\.toml"):
        find(str(path))


def test_no_such_scenario() -> None:
    with pytest.raises(ValueError, match=r"there are .*steady"):
        find("nobody")


def test_a_closed_load_in_words() -> None:
    load = read_load({"concurrency": 3, "seconds": 2, "cancel_after": "uniform:1-2"})
    assert load.closed
    assert (load.seconds, str(load.cancel_after)) == (2, "uniform:1-2")
    assert load.rate_at(1) == 0
