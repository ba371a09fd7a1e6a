"""The tests of `tests/control/test_notices.py`, over PostgreSQL."""

from tests.control.test_notices import *  # noqa: F403
