"""The tests of `tests/e2e/test_dashboard.py`, over PostgreSQL."""

from tests.e2e.test_dashboard import *  # noqa: F403
