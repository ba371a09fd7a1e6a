"""The tests of `tests/control/api/test_usage.py`, over PostgreSQL."""

from tests.control.api.test_usage import *  # noqa: F403
