"""Every route of `tests/control/api/test_matrix.py`, asked by who may, over PostgreSQL."""

# ruff: noqa: F401 - pytest collects what is imported

from tests.control.api.test_matrix import test_who_may_gets_what_is_described
