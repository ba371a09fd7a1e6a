"""The journal's chain, computed once more from its documentation, not with the code under test."""

from __future__ import annotations

import hashlib
import json

from proxy.bank.ops import Op
from proxy.bank.rows import GENESIS, chain
from proxy.bank.store import Store

from .kit import NOON, admit, grant, settle


async def test_each_posting_is_hashed_over_its_predecessor_and_each_head_is_the_last_one(
    store: Store,
) -> None:
    await store.create_account()
    batches: list[list[Op]] = [
        [grant(1000, reference='a "quoted" bill, paid by Zoë')],
        [admit("a", 400), admit("b"), settle("a", 450)],
        [settle("b", 0)],
        [grant(5, op="second", kind="topup")],
    ]
    for ops in batches:
        await store.transact(ops, [None] * len(ops))
    async with store.snapshot() as snapshot:
        postings, heads = await snapshot.postings(0), await snapshot.heads(0)
    previous = bytes(32)
    for number, posting in enumerate(postings, 1):
        row = json.dumps(list(posting[:-1]), separators=(",", ":"), ensure_ascii=False).encode()
        previous = hashlib.sha256(previous + row).digest()
        assert (posting.seq, posting.hash) == (number, previous)
    ends = [2, 4, 6]
    assert [(head.seq, head.hash) for head in heads] == [(seq, postings[seq - 1].hash) for seq in ends]


def test_the_first_hash_is_known_by_heart() -> None:
    """A change of the format would make every journal there is look forged."""
    found = chain(GENESIS.hash, (1, "grant", 1, 1000, "admin", "", NOON))
    assert found.hex() == "48522e263672401f08baa27435a85fe94ac648d8b9f94b79bb51f20ed5bd84c3"
