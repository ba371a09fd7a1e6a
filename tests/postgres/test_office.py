"""Those tests of `tests/control/test_office.py` that say nothing of SQLite, over PostgreSQL."""

# ruff: noqa: F401 - pytest collects what is imported

from tests.control.test_office import (
    test_a_rotated_key_keeps_every_limit,
    test_of_two_accounts_with_one_address_one_is_made,
    test_of_two_rotations_of_one_key_one_is_done,
)
