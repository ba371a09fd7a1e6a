"""The tests of `tests/control/test_keys.py`, over PostgreSQL."""

from tests.control.test_keys import *  # noqa: F403
