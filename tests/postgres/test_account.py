"""The tests of `tests/e2e/test_account.py`, over PostgreSQL."""

from tests.e2e.test_account import *  # noqa: F403
