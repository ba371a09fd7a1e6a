"""The tests of `tests/e2e/test_texts.py` that look into no file, over PostgreSQL."""

# ruff: noqa: F401 - pytest collects what is imported

from tests.e2e.test_texts import (
    test_what_is_kept_is_bounded,
    test_where_more_is_said_than_the_store_takes_it_is_left_out,
)
