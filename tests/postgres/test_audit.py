"""Those tests of `tests/control/test_audit.py` that open no SQLite file themselves, over PostgreSQL."""

# ruff: noqa: F401 - pytest collects what is imported

from tests.control.test_audit import (
    bank,
    settings,
    test_a_command_is_noted_before_and_after,
    test_looking_is_not_noted,
)
