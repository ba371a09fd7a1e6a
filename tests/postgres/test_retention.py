"""The tests of `tests/control/test_retention.py`, over PostgreSQL."""

from tests.control.test_retention import *  # noqa: F403
