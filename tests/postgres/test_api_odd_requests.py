"""Of `tests/control/api/test_odd_requests.py` what a database may say no to itself, over PostgreSQL."""

from tests.control.api.test_odd_requests import test_a_text_with_a_nul_is_refused  # noqa: F401
