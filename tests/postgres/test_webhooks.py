"""The tests of `tests/control/test_webhooks.py`, over PostgreSQL."""

from tests.control.test_webhooks import *  # noqa: F403
