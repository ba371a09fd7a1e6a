"""The money faults of `tests/e2e`, over PostgreSQL."""

# ruff: noqa: F401, F403 - pytest collects what is imported

from tests.e2e.test_billing import (
    test_a_client_that_leaves_while_its_hold_is_written_leaves_none,
    test_each_request_is_told_of_charged_and_recorded_once,
)
from tests.e2e.test_idempotency import (
    test_a_hundred_at_once_are_one,
    test_what_cost_nothing_runs_again,
    test_who_left_in_mid_answer_is_told_what_it_cost,
    test_who_was_told_of_a_break_is_told_again,
)
from tests.e2e.test_money import *
