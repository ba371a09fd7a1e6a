"""What a client sees and what the ledger says, row by row of the failure catalogue, for end-to-end tests.

Names are those of the contract, section 3.3, which wins over the catalogue. A test that plays a case starts
a gateway whose model has one deployment at a `FaultyUpstream` playing `script` (or at `place`), sends
`request`, and asserts the rest; then, where `fails_over` says something, once more with a healthy second
deployment. Every case also asserts: the hold ended once, nothing leaked, CANARY is in no answer and no log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal

from proxy.words.errors import Name

from . import script as say
from .script import HEALTHY, STALL, Script
from .tongues import Wire

Ledger = Literal["-", "V", "S(u)", "S(r)"]
"""No hold at all; voided; settled by the upstream's usage; settled by our own count of what was relayed."""
Place = Literal["upstream", "refusing", "black_hole", "no_such_host", "hanging_dns", "strange_tls"]
"""Where the deployment is; `hanging_dns` needs a resolver of the test's own that never answers."""
Leaving = Literal["before_connect", "before_head", "before_first", "after", "before_done", "half_close"]
"""When the client leaves: `after` is when `relayed` tokens have come."""
Money = Literal["plenty", "none", "held", "one_hold", "hundred_holds"]

ASK: Final[Mapping[str, Any]] = MappingProxyType(
    {"stream": True, "max_tokens": 8, "stream_options": {"include_usage": True}}
)
BRIEF: Final = 0.2
"""Seconds for each timeout of the provider that a case runs into."""
LATE: Final = 10.0
"""Seconds after which the 200 goes out with a comment (`edge.models.FIRST_COMMENT_AFTER`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One expectation."""

    row: str
    what: str
    script: Script = HEALTHY
    place: Place = "upstream"
    request: Mapping[str, Any] = field(default_factory=lambda: ASK)
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """The provider's, by the names of the settings."""
    comment_after: float | None = None
    """Stands for the gateway's 10 s before it commits to the 200; None leaves it."""
    money: Money = "plenty"
    leaves: Leaving | None = None
    # What the client sees; status None: it did not wait for one.
    status: int | None = 200
    error: Name | None = None
    """The error's name: in the body where the status is not 200, else in the last chunk, without `[DONE]`."""
    detail: Mapping[str, str] = field(default_factory=dict)
    """Members of the error object that must be there (`reason`, `upstream`)."""
    headers: Mapping[str, str] = field(default_factory=dict)
    finish: str | None = "stop"
    """`finish_reason` of the last chunk that has one; in-band errors say `error`."""
    # What became of it.
    relayed: int = 8
    """Tokens of content the client was handed."""
    ledger: Ledger = "S(u)"
    fails_over: bool | None = None
    """With a healthy second deployment the answer is whole; False: the client sees the same; None: moot."""
    closes: bool = False
    """The gateway closes its connection to the upstream."""
    hits: int = 1
    """Requests the upstream saw, without a second deployment."""
    note: str = ""

    def __str__(self) -> str:
        return f"{self.row}-{self.what}".replace(" ", "-")

    @property
    def in_band(self) -> bool:
        """Whether the error comes inside a stream that had begun."""
        return self.error is not None and self.status == 200

    @property
    def done(self) -> bool:
        """Whether the client gets its `[DONE]`."""
        return self.status == 200 and self.error is None and self.leaves is None


def early(row: str, what: str, script: Script, upstream: str, **more: Any) -> Case:
    """Return a failure before the first content: 502, nothing deducted, another provider may do."""
    base: dict[str, Any] = {
        "status": 502,
        "error": "upstream_error",
        "detail": {"upstream": upstream},
        "finish": None,
        "relayed": 0,
        "ledger": "V",
        "fails_over": True,
    }
    return Case(row=row, what=what, script=script, **{**base, **more})


def late(row: str, what: str, script: Script, upstream: str, **more: Any) -> Case:
    """Return a failure after three tokens: in-band, those three are paid, nobody takes over."""
    base: dict[str, Any] = {
        "error": "upstream_error",
        "detail": {"upstream": upstream},
        "finish": "error",
        "relayed": 3,
        "ledger": "S(r)",
        "fails_over": False,
        "closes": True,
    }
    return Case(row=row, what=what, script=script, **{**base, **more})


def slow(row: str, what: str, script: Script, reason: str, **more: Any) -> Case:
    """Return a failure to begin in time: 504, nothing deducted, another provider may do."""
    base: dict[str, Any] = {
        "status": 504,
        "error": "gateway_timeout",
        "detail": {"reason": reason},
        "closes": True,
    }
    return early(row, what, script, reason, **{**base, **more})


def left(
    row: str, what: str, script: Script, leaves: Leaving, relayed: int, ledger: Ledger, **more: Any
) -> Case:
    """Return a client that leaves: the upstream's connection is closed at once."""
    base: dict[str, Any] = {"status": None, "finish": None, "closes": True, "fails_over": None}
    return Case(
        row=row, what=what, script=script, leaves=leaves, relayed=relayed, ledger=ledger, **{**base, **more}
    )


WAITS = Script(before_head=STALL)
SILENT = Script(before_first=STALL)
HOLDS_AT_3 = say.broken(3, "stall")
WHOLE: Final[Mapping[str, Any]] = MappingProxyType({"stream": False, "max_tokens": 8})
PLAIN: Final[Mapping[str, Any]] = MappingProxyType({"stream": True, "max_tokens": 8})

CLIENT: Final = (
    left("F3", "before connect", HEALTHY, "before_connect", 0, "V", hits=0, closes=False,
         note="held at the resolver or the race; the hold ends within 100 ms"),
    left("F4", "before 200", WAITS, "before_head", 0, "V"),
    left("F4", "after 200 before first token", SILENT, "before_first", 0, "S(r)", note="pays for the prompt"),
    *(left("F5", f"after {k}", say.broken(k, "stall"), "after", k, "S(r)") for k in (1, 2, 3, 7)),
    left("F6", "before done with usage", Script(after_finish=(STALL,)), "before_done", 8, "S(u)"),
    left("F6", "before done without usage", Script(after_finish=(STALL,), usage=None), "before_done", 8,
         "S(r)"),
    left("F7", "whole answer", HOLDS_AT_3, "after", 3, "S(r)", request=WHOLE,
         note="the client got nothing, but the upstream's three tokens were made for it"),
    left("F8", "half close", HOLDS_AT_3, "half_close", 3, "S(r)"),
)  # fmt: skip

MONEY: Final = (
    Case(row="F37", what="no credit", money="none", status=402, error="insufficient_credits", finish=None,
         relayed=0, ledger="-", fails_over=False, hits=0,
         note="required, available and held are in the body"),
    Case(row="F37", what="credit is held", money="held", status=402, error="insufficient_credits",
         finish=None,
         relayed=0, ledger="-", fails_over=False, hits=0, headers={"retry-after": "*"},
         note="enough but for running holds: Retry-After is there"),
    Case(row="F38", what="a thousand for a hundred", money="hundred_holds", script=Script(),
         note="make it with before_head=Barrier(100).wait: 100 x 200, 900 x 402; available >= 0 throughout"),
    Case(row="F39", what="hold runs out and grows", script=Script(tokens=64), request=ASK,
         relayed=64, note="the upstream ignores max_tokens 8; the hold is extended"),
    Case(row="F39", what="hold runs out for good", script=Script(tokens=say.ENDLESS), request=PLAIN,
         money="one_hold", error="insufficient_credits", finish="error", relayed=-1, ledger="S(r)",
         fails_over=False, closes=True,
         note="settled <= hold, overrun <= 1 chunk; relayed: what the money buys"),
    Case(row="F39", what="a whole answer out of money", script=Script(tokens=say.ENDLESS), request=WHOLE,
         money="one_hold", finish="length", relayed=-1, ledger="S(r)", closes=True, fails_over=False,
         headers={"x-gateway-truncated": "insufficient_credits"}),
    Case(row="F40", what="top-up, adjust and refund amid spends", note="100 at once; the sums are exact"),
)  # fmt: skip

CONNECT: Final = (
    early("F49", "refused", HEALTHY, "unreachable", place="refusing", hits=0),
    early("F50", "no such name", HEALTHY, "dns", place="no_such_host", hits=0),
    slow("F51", "name server hangs", HEALTHY, "connect", place="hanging_dns", hits=0, closes=False,
         timeouts={"connect": BRIEF}, note="the loop is not blocked; `upstream=dns` (502) would do as well"),
    slow("F52", "black hole", HEALTHY, "connect", place="black_hole", hits=0, closes=False,
         timeouts={"connect": BRIEF}),
    early("F53", "strange certificate", HEALTHY, "tls", place="strange_tls", hits=0,
          note="never tried again without verification"),
)  # fmt: skip

SLOW: Final = (
    slow("F54", "no head", WAITS, "first_byte", timeouts={"first_byte": BRIEF}),
    slow("F54", "no first event", SILENT, "first_byte", timeouts={"first_byte": BRIEF}),
    slow("F54", "a role and then silence", say.broken(0, "stall"), "first_byte",
         timeouts={"first_byte": BRIEF},
         note="a role is no content: the attempt may still be given up for another"),
    slow("F54", "no first event after the keep-alive", SILENT, "first_byte", status=200, finish="error",
         timeouts={"first_byte": 2 * BRIEF}, comment_after=BRIEF,
         note="a comment came first; V all the same"),
    late("F55", "stall", HOLDS_AT_3, "", error="gateway_timeout", detail={"reason": "idle"},
         timeouts={"idle": BRIEF}),
    late("F55", "comments do not count", Script(at=((3, say.only_comments().at[0][1]),)), "",
         error="gateway_timeout", detail={"reason": "idle"}, timeouts={"idle": BRIEF}),
    late("F55", "drips beyond the total", Script(tokens=say.ENDLESS, gap=0.01), "", error="gateway_timeout",
         detail={"reason": "total"}, timeouts={"total": BRIEF}, relayed=-1, request=PLAIN),
    slow("F75", "comments only", say.only_comments(), "first_byte", timeouts={"first_byte": BRIEF}),
    slow("F75", "comments only after the keep-alive", say.only_comments(), "first_byte", status=200,
         finish="error", timeouts={"first_byte": 2 * BRIEF}, comment_after=BRIEF),
)  # fmt: skip

BROKEN: Final = (
    early("F56", "reset before content", say.broken(0, "rst"), "reset"),
    late("F56", "reset", say.broken(3, "rst"), "reset", closes=False,
         note="a reset may overtake tokens already sent: relayed is 3 at most, and so is the bill"),
    early("F57", "cut before content", say.broken(0, "fin"), "truncated"),
    late("F57", "cut between chunks", say.broken(3, "fin"), "truncated"),
    late("F57", "cut in a chunk", say.broken(3, "truncate"), "truncated"),
    late("F57", "end without finish", say.broken(3, "fin", framing="close"), "truncated"),
    late("F57", "clean end without finish", say.broken(3, "end"), "truncated", closes=False),
    Case(row="F58", what="no done with usage", script=Script(done=0), fails_over=False),
    Case(row="F58", what="no done and FIN", script=Script(done=0, framing="close", ending="fin"),
         closes=True),
    Case(row="F58", what="no done no usage", script=Script(done=0, usage=None), ledger="S(r)"),
    Case(row="F58", what="FIN inside chunked after finish", script=Script(done=0, ending="fin"), closes=True),
)  # fmt: skip

LOOKS: Final = tuple(
    Case(row="F59", what=what, script=look, note="the same payloads as from HEALTHY")
    for what, look in {
        "a byte per segment": Script(segment=1),
        "CRLF": Script(line_end=b"\r\n"),
        "CRLF a byte per segment": Script(line_end=b"\r\n", segment=1),
        "CR": Script(line_end=b"\r"),
        "several data lines": Script(multiline=True),
        "a byte order mark": Script(bom=True),
        "comments": Script(comments=True),
        "no space": Script(space=False),
        "words beyond ASCII": Script(word="\u20ac ", segment=1),
    }.items()
)

NEWS: Final = (
    Case(row="F59", what="events nobody knows",
         script=Script(at=((0, say.Novelty()), (3, say.Novelty()), (8, say.Novelty())))),
)  # fmt: skip

_LIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "negative": {"completion_tokens": -5, "total_tokens": 5},
    "not an integer": {"completion_tokens": 2.5},
    "absurd": {"completion_tokens": 10**18},
    "text": {"completion_tokens": "7"},
    "null": {"completion_tokens": None},
    "cached beyond the prompt": {"prompt_tokens_details": {"cached_tokens": 11}},
}
CONTENT: Final = (
    early("F60", "invalid JSON first", say.invalid_line(0), "bad_content", closes=True),
    late("F60", "invalid JSON later", say.invalid_line(3), "bad_content"),
    Case(row="F61", what="no usage", script=Script(usage=None), ledger="S(r)",
         note="usage.estimated is true"),
    Case(row="F61", what="no usage for one who did not ask", script=Script(usage=None), request=PLAIN,
         ledger="S(r)", note="no usage object reaches the client"),
    Case(row="F62", what="usage in a chunk of its own"),
    Case(row="F62", what="usage hidden from one who did not ask", request=PLAIN,
         note="the upstream is asked for it all the same; no chunk with empty choices"),
    Case(row="F62", what="usage beside the finish", script=Script(usage_at="finish")),
    Case(row="F62", what="usage beside the last content", script=Script(usage_at="last_content")),
    Case(row="F62", what="usage in every chunk", script=Script(usage_at="every"), note="the last one counts"),
    *(
        Case(row="F63", what=f"usage {what}", script=Script(usage=lie), ledger="S(r)", note="distrusted")
        for what, lie in _LIES.items()
    ),
    *(
        Case(row="F63", what=f"usage {what}", script=Script(usage={"completion_tokens": tokens}),
             note="believed: not negative, an integer, below the cap; the difference is a metric")
        for what, tokens in (("far above our count", 800), ("far below it", 1))
    ),
    early("F64", "HTML", say.whole(b"<html>CANARY</html>", content_type="text/html"), "bad_content"),
    early("F64", "nothing in JSON", say.whole(b""), "bad_content"),
    early("F64", "nothing in a stream", say.whole(b"", content_type="text/event-stream"), "truncated"),
    early("F64", "text", say.whole(b"data: {}\n\n", content_type="text/plain"), "bad_content"),
    early("F64", "JSON error", say.whole(say.Problem("CANARY")), "failed"),
    early("F65", "error frame first", say.error_frame(0, "CANARY"), "failed"),
    late("F65", "error frame later", say.error_frame(3, "CANARY"), "failed", closes=False),
)  # fmt: skip


def limited(what: str, script: Script, wait: str) -> Case:
    """Return a 429 from every deployment."""
    return early("F66" if what == "seconds" else "F67", what, script, "", status=429,
    error="model_rate_limited",
                 detail={}, headers={"retry-after": wait},
                 note="cooled down: no call within the wait")  # fmt: skip


STATUS: Final = (
    limited("seconds", say.limited("7"), "7"),
    limited("no wait", say.limited(), "1"),
    limited("past date", say.limited("Fri, 31 Dec 1999 23:59:59 GMT"), "1"),
    limited("future date", say.limited("Fri, 31 Dec 2100 23:59:59 GMT"), "60"),
    limited("garbage", say.limited("soon"), "1"),
    limited("negative", say.limited("-3"), "1"),
    limited("1e9", say.limited("1000000000"), "60"),
    limited("milliseconds", say.limited("1500", "retry-after-ms"), "2"),
    *(early("F68", f"{status} on our key", say.error(status, "CANARY"), "auth",
            note="never 401 to the client")
      for status in (401, 403)),
    *(early("F68", f"{status} on the client's key", say.error(status, "CANARY"), "", status=403,
            error="byok_key_rejected", detail={}, fails_over=None,
            note="needs a BYOK key") for status in (401, 403)),
    early("F69", "rejected", say.error(400, "too long at http://10.0.0.7/CANARY", code="content_policy"), "",
          status=400, error="invalid_request", detail={"code": "content_policy"}, fails_over=False,
          note="the address is cleaned away; the upstream's own code stays; the breaker does not count it"),
    early("F69", "context too long", say.error(400, "at most 8192", code="context_length_exceeded"), "",
          status=400, error="context_length_exceeded", detail={}, fails_over=False),
    *(early("F70", str(status), say.error(status, "CANARY"), "failed") for status in (500, 502, 503, 529)),
    early("F71", "model gone", say.error(404, "CANARY"), "gone"),
    *(early("F72", str(status), say.redirect("http://127.0.0.1:1/CANARY", status), "redirect",
            note="not followed")
      for status in (301, 302, 307, 308)),
)  # fmt: skip

EXCESS: Final = (
    early("F73", "a line without end first", say.long_line(), "protocol", closes=True, note="RSS + <= 4 MiB"),
    late("F73", "a line without end later", say.long_line(k=3), "protocol"),
    late("F73", "a huge event later", say.huge_event(k=3), "protocol"),
    Case(row="F74", what="tokens without end", script=Script(tokens=say.ENDLESS), request=PLAIN,
         money="one_hold",
         error="insufficient_credits", finish="error", relayed=-1, ledger="S(r)", fails_over=False,
         closes=True,
         note="the contract has no `length_limit`: with money left it ends by timeouts.total, see F55"),
    Case(row="F76", what="done twice", script=Script(done=2), note="one [DONE], one settle"),
    Case(row="F76", what="data after done", script=Script(after_done=say.frame("CANARY")),
         note="within the body, so the connection may serve again"),
    Case(row="F76", what="silence after done", script=Script(ending="stall"), closes=True,
         note="the client is not kept waiting for the end of the body"),
    Case(row="F77", what="gzip", script=Script(gzip=True),
         note="we asked for identity, and read it all the same"),
    early("F77", "gzip bomb", say.gzip_bomb(), "protocol", closes=True),
    early("F78", "huge header", Script(headers=(("X-Big", "a" * 2**20),)), "protocol", closes=True),
    early("F78", "a thousand 1xx", Script(interim=1000), "protocol", closes=True),
    early("F78", "too long a Content-Length", Script(body=b'{"CANARY": 1}', framing="length", length_off=10),
          "truncated", closes=True),
)  # fmt: skip

POOL: Final = (
    Case(row="F79", what="closed in the pool", script=Script(keep="quiet"), hits=2,
         note="send two requests: the second opens a new connection, both succeed"),
    Case(row="F79", what="closed on the next request", script=Script(keep="next"), hits=3,
         note="queue keep='next', then HEALTHY: the second request is tried again once, in silence"),
    Case(row="F80", what="both answer", script=Script(before_first=2 * BRIEF), fails_over=True,
         note="hedge at BRIEF: one is relayed, the loser's connection is closed, one settle"),
    late("F81", "the winner dies", say.broken(3, "rst"), "reset", closes=False, note="hedged: no switch"),
    Case(row="F82", what="all breakers open", status=503, error="service_unavailable", finish=None, relayed=0,
         detail={"reason": "breakers_open"}, headers={"retry-after": "60"}, ledger="-", hits=0,
         note="after enough say.error(500); answered within 10 ms"),
)  # fmt: skip

CASES: Final = (*CLIENT, *MONEY, *CONNECT, *SLOW, *BROKEN, *LOOKS, *NEWS, *CONTENT, *STATUS, *EXCESS, *POOL)

_NOT_OF_A_WIRE: Final = frozenset({"F49", "F50", "F51", "F52", "F53", "F72", "F77", "F78"})
"""Rows that are over before a protocol has a say."""
_ANYWHERE: Final = frozenset(
    {"usage beside the finish", "usage beside the last content", "usage in every chunk"}
)
"""Liberties that OpenAI's imitators take, and nobody else."""
_UNKNOWN: Final[Mapping[Wire, frozenset[str]]] = {
    "openai": frozenset(),
    # What is read from the cache stands beside the prompt, and may well be more.
    "anthropic": _ANYWHERE | {"usage cached beyond the prompt"},
    # There is no end marker: the end of the body is one.
    "gemini": _ANYWHERE
    | {"no done with usage", "no done and FIN", "no done no usage"}
    | {"done twice", "data after done", "silence after done"},
}
_UNENDED: Final[Mapping[str, Any]] = {
    "error": "upstream_error",
    "detail": {"upstream": "truncated"},
    "finish": "error",
    "ledger": "S(r)",
    "fails_over": False,
}
_DIFFERENT: Final[Mapping[Wire, Mapping[str, Mapping[str, Any]]]] = {
    "openai": {},
    # A reason to stop is not the end: `message_stop` is.
    "anthropic": {
        "no done with usage": _UNENDED,
        "no done and FIN": _UNENDED,
        "no done no usage": _UNENDED,
        "FIN inside chunked after finish": _UNENDED,
        "before done with usage": {"ledger": "S(r)"},
        "rejected": {"detail": {}},
    },
    "gemini": {"rejected": {"detail": {}}},
}


def cases_for(wire: Wire) -> tuple[Case, ...]:
    """Return the expectations of an upstream that speaks this protocol, where it has a say in them."""
    if wire == "openai":
        return CASES
    return tuple(
        replace(case, **_DIFFERENT[wire].get(case.what, {}))
        for case in CASES
        if case.row not in _NOT_OF_A_WIRE and case.what not in _UNKNOWN[wire]
    )
