"""Those tests of `tests/process` where a shared store may differ: deaths, reloads, and the first sign-in."""

# ruff: noqa: F401 - pytest collects what is imported

from __future__ import annotations

from functools import partial

import pytest

from tests.fakes.postgres import Postgres
from tests.process import test_dashboard, test_workers
from tests.process.shared import SharedPlace
from tests.process.test_dashboard import test_the_first_password_is_changed_and_then_all_is_open
from tests.process.test_workers import (
    test_a_rolling_reload_loses_no_connection_and_takes_effect,
    test_a_supervisor_that_is_killed_leaves_no_orphan_and_cuts_no_stream,
    test_an_edge_that_is_killed_takes_its_own_streams_along_and_no_other,
    test_streams_outlive_the_part_that_controls,
)


@pytest.fixture(autouse=True)
def places(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (test_dashboard, test_workers):
        monkeypatch.setattr(module, "Place", partial(SharedPlace, server=server))
