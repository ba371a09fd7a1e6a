"""What is kept as plain numbers is told as prometheus_client would have told it."""

from __future__ import annotations

import orjson
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from proxy.observe import names
from proxy.observe.names import Name
from proxy.observe.tallies import Registry, gauge
from proxy.observe.text import render

BOUNDS = (0.001, 0.25, 1.0, 2.5)
SEEN = Name("seen", "counter", 'What was "seen",\nand \\ how.', ("why", "kind"))
PLAIN = Name("plain", "counter", "Just so.")
TOOK = Name("took_seconds", "histogram", "How long.", (), BOUNDS)
MADE = Name("made", "histogram", "How many.", ("model", "at"), BOUNDS)
LEFT = Name("left", "gauge", "How much.", ("where",))


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SEEN, PLAIN, TOOK, MADE, LEFT):
        monkeypatch.setitem(names.NAMES, name.name, name)


def samples(text: bytes) -> list[tuple[str, str, str, Sample]]:
    """Return what a scrape says, in any order, but for when each counter of the library's was made."""
    found = [
        (family.name, family.documentation, family.type, sample)
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
    return sorted(found, key=repr)


def test_all_are_told_as_by_the_library() -> None:
    theirs, ours = CollectorRegistry(), Registry()
    seen = Counter("seen", SEEN.text, SEEN.labels, registry=theirs)
    plain = Counter("plain", PLAIN.text, registry=theirs)
    took = Histogram("took_seconds", TOOK.text, registry=theirs, buckets=BOUNDS)
    made = Histogram("made", MADE.text, MADE.labels, registry=theirs, buckets=BOUNDS)
    left = Gauge("left", LEFT.text, LEFT.labels, registry=theirs)
    tally, other = ours.tally(SEEN), ours.tally(PLAIN)
    spread, cells = ours.spread(TOOK), ours.spread(MADE)
    ours.read(lambda: gauge(LEFT, 2.5, "here"))
    left.labels("here").set(2.5)
    for turn in range(2):
        # By way of JSON, as from another process.
        for told in (ours.tell(), orjson.loads(orjson.dumps(ours.tell()))):
            assert samples(render(told)) == samples(generate_latest(theirs)), turn
        assert samples(generate_latest(ours.registered())) == samples(generate_latest(theirs)), turn
        for why, kind, amount in (("a", "x", 1), ("b", 'quo"t\\e\nd', 10**12), ("a", "x", 2)):
            seen.labels(why, kind).inc(amount)
            tally.amounts[why, kind] += amount
        plain.inc()
        other.amounts[()] += 1
        for value in (0.0, 0.001, 0.0011, 0.25, 1.5, 2.5, 99.0):
            took.observe(value)
            spread.cell().observe(value)
            made.labels("m", "p").observe(value)
            cells.cell("m", "p").observe(value)


def test_an_amount_beyond_what_a_double_holds_is_told_whole() -> None:
    registry = Registry()
    registry.tally(PLAIN).amounts[()] += 2**60 + 1
    assert f"plain_total {2**60 + 1}\n".encode() in render(registry.tell())


def test_figures_of_one_name_from_several_places_are_told_together() -> None:
    registry = Registry()
    registry.tally(SEEN).amounts["here", "x"] += 1
    registry.read(lambda: gauge(SEEN, 2, "there", "x"))
    assert registry.tell()["seen"] == [(("here", "x"), 1), (("there", "x"), 2)]


def test_what_was_told_does_not_change_any_more() -> None:
    registry = Registry()
    cell, amounts = registry.spread(TOOK).cell(), registry.tally(PLAIN).amounts
    told = registry.tell()
    before = render(told)
    cell.observe(1)
    amounts[()] += 1
    assert render(told) == before != render(registry.tell())
