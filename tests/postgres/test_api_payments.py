"""The tests of `tests/control/api/test_payments.py`, over PostgreSQL."""

from tests.control.api.test_payments import *  # noqa: F403
