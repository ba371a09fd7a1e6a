"""The tests of `tests/control/test_accounts.py`, over PostgreSQL."""

from tests.control.test_accounts import *  # noqa: F403
