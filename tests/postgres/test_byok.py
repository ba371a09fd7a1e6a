"""Those tests of `tests/e2e/test_byok.py` that every kind of an own key passes through, over PostgreSQL."""

# ruff: noqa: F401 - pytest collects what is imported

from tests.e2e.test_byok import test_an_own_key_serves_and_costs_no_credits
