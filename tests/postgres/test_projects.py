"""The tests of `tests/control/test_projects.py`, over PostgreSQL."""

from tests.control.test_projects import *  # noqa: F403
