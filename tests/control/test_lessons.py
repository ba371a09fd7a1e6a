"""What was learnt of models outlives a stop; what cannot be read does not keep a gateway from starting."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from proxy.bank.sqlite import SqliteStore, open_sqlite
from proxy.control.lessons import Lessons
from proxy.policy.learned import MODELS, UNKNOWN, Learned, Lesson

WISE = Lesson(3000, 3500, 100)


def taught(*models: str) -> Learned:
    learned = Learned()
    for model in models:
        for _ in range(32):
            learned.learn(model, 1, WISE)
    return learned


def lessons(store: SqliteStore, learned: Learned) -> Lessons:
    return Lessons(store, learned, lambda: 5.0)


async def saved(store: SqliteStore) -> list[str]:
    return [model for (model,) in await store.read("SELECT model FROM learned ORDER BY model")]


async def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "d" / "a.db", synchronous="NORMAL") as store:
        await lessons(store, taught("a", "b")).save()
        heir = Learned()
        assert await lessons(store, heir).load() == 0
        assert heir.figures("a") == heir.figures("b") == (3000, 3500, 125)
        assert heir.changes() == {}


async def test_a_row_that_cannot_be_read_is_dropped_and_the_others_are_taken(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "d" / "a.db", synchronous="NORMAL") as store:
        await lessons(store, taught("a", "b")).save()
        await store.write([("UPDATE learned SET samples = '[[[1,[-5]]],[],[]]' WHERE model = 'a'", ())])
        heir = Learned()
        known = lessons(store, heir)
        assert await known.load() == 1
        assert (heir.figures("a"), heir.figures("b")) == (UNKNOWN, (3000, 3500, 125))
        heir.learn("b", 1, WISE)
        await known.save()
        assert await saved(store) == ["b"]


async def test_the_table_has_no_more_models_than_are_remembered(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "d" / "a.db", synchronous="NORMAL") as store:
        learned = Learned()
        for number in range(MODELS + 5):
            learned.learn(f"m{number}", 1, WISE)
            if number == 3:
                await lessons(store, learned).save()
        await lessons(store, learned).save()
        rows = await saved(store)
        assert len(rows) == MODELS
        assert "m3" not in rows


async def test_what_was_learnt_is_saved_at_a_stop(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "d" / "a.db", synchronous="NORMAL") as store:
        spread: list[int] = []
        known = Lessons(store, taught("a"), lambda: 5.0, lambda table: spread.append(len(table)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(known.run)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert (await saved(store), spread) == (["a"], [1])


async def test_a_store_that_fails_is_tried_again(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "d" / "a.db", synchronous="NORMAL") as store:
        known = lessons(store, taught("a"))
        await store.write([("ALTER TABLE learned RENAME TO gone", ())])
        await known._try()
        await store.write([("ALTER TABLE gone RENAME TO learned", ())])
        await known.save()
        assert await saved(store) == ["a"]
