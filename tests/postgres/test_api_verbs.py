"""The tests of `tests/control/api/test_verbs.py`, over PostgreSQL."""

from tests.control.api.test_verbs import *  # noqa: F403
