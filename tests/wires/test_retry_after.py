"""`Retry-After` is read in every form upstreams send it, and parks nobody for long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.words.retry_after import LONGEST, retry_after

NOW = 1_767_323_045.0  # Fri, 02 Jan 2026 03:04:05 GMT

CASES = [
    ({}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "7"}, 7),
    ({"retry-after": " 7 "}, 7),
    ({"retry-after": "0"}, 1),
    ({"retry-after": "0.2"}, 1),
    ({"retry-after": "1.2"}, 2),
    ({"retry-after": "60"}, 60),
    ({"retry-after": "61"}, LONGEST),
    ({"retry-after": "1000000000"}, LONGEST),
    ({"retry-after": "9" * 20}, LONGEST),
    ({"retry-after": "1e9"}, None),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "9" * 5000}, None),
    ({"retry-after": "NaN"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "."}, None),
    ({"retry-after": "1.2.3"}, None),
    ({"retry-after": "٣"}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "7s"}, None),
    ({"retry-after": "Fri, 02 Jan 2026 03:04:12 GMT"}, 7),
    ({"retry-after": "Fri, 02 Jan 2026 03:04:12 -0000"}, 7),
    ({"retry-after": "Fri, 02 Jan 2026 05:04:12 +0200"}, 7),
    ({"retry-after": "Friday, 02-Jan-26 03:04:12 GMT"}, 7),
    ({"retry-after": "Fri, 02 Jan 2026 03:04:05 GMT"}, 1),
    ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 1),
    ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST),
    ({"retry-after": "Fri, 32 Jan 2026 03:04:12 GMT"}, None),
    ({"retry-after": "Fri, 02 Jan 2026 03:04:12 +9999"}, None),
    ({"retry-after": "Fri, 02 Jan 99999 03:04:12 GMT"}, None),
    ({"retry-after-ms": "1"}, 1),
    ({"retry-after-ms": "6500"}, 7),
    ({"retry-after-ms": "6500", "retry-after": "30"}, 7),
    ({"retry-after-ms": "soon", "retry-after": "30"}, 30),
    ({"x-ms-retry-after-ms": "2000"}, 2),
    ({"retry-after-ms": "1e9"}, None),
]


@pytest.mark.fault("F66", "F67")
@pytest.mark.parametrize(("headers", "seconds"), CASES, ids=repr)
def test_forms(headers: dict[str, str], seconds: int | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.fault("F67")
@given(
    st.text(max_size=80)
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,3} Jan [0-9]{1,6} [0-9:]{1,9} [A-Z+\-0-9]{1,6}", fullmatch=True)
)
def test_any_text_is_a_short_wait_or_none(text: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        seconds = retry_after({name: text}, NOW)
        assert seconds is None or 1 <= seconds <= LONGEST
