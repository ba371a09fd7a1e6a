"""The tests of `tests/control/test_codes.py`, over PostgreSQL."""

from tests.control.test_codes import *  # noqa: F403
