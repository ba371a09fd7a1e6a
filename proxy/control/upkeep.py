"""What a running gateway does for its store beside serving: learning, deleting, telling.

Commands on a store without a gateway do none of it.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from proxy.settings import Settings

from .bank import Bank
from .herald import Herald
from .lessons import Lessons, Table
from .retention import Retention
from .webhooks import Webhooks


async def upkeep(
    settings: Settings,
    bank: Bank,
    unix_time: Callable[[], float],
    failed: Callable[[str], None],
    spread: Callable[[Table], None] = lambda _: None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep what is learnt, throw away what is old, tell webhooks, until cancelled; then write what is left.

    `failed` is told in a line of what could not be done, `spread` what is known of models. What else goes
    wrong is raised as a group.

    Raises:
        StoreError: what was learnt could not be read.
    """
    async with trio.open_nursery() as nursery:
        if bank.learned is not None:
            lessons = Lessons(bank.store, bank.learned, unix_time, spread)
            if wrong := await lessons.load():
                failed(f"{wrong} of the models' lessons cannot be read: they begin anew")
            nursery.start_soon(lessons.run)
        nursery.start_soon(bank.office.texts.run)
        nursery.start_soon(bank.replies.run)
        herald = Herald(bank.office.clerk, bank.pepper)
        bank.desk.listen(herald.observe)
        await nursery.start(herald.run)
        await nursery.start(Webhooks(bank, settings.outbound).run)
        retention = Retention(bank.store, lambda: bank.office.settings.usage.keep_days, unix_time)
        nursery.start_soon(retention.run, failed)
        task_status.started()
