"""The tests of `tests/control/api/test_auth.py`, over PostgreSQL."""

from tests.control.api.test_auth import *  # noqa: F403
