"""Reads one answer as it comes: status, chunks with content, usage, and what was wrong. It knows no socket.

A chunk counts if it has content: text, reasoning, or a part of a tool call. The first one is the first token;
what comes with one read has come at one moment. A stream is whole if it ended with `[DONE]` or a reason to.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any, Final

import httptools
import orjson

from bench.driver.load import OK

_CONTENT: Final = ("content", "reasoning_content", "reasoning", "tool_calls", "refusal")


class Answer:
    """One answer. `feed` gives it bytes; it is over when `done`, or when the connection is and `end` is told.

    Attributes:
        status: HTTP's; 0 before the head.
        first: the time of the first content, in the clock's microseconds; -1 before.
        gaps: microseconds between two chunks, for each but the first.
        fault: what was wrong with it, if anything.
    """

    __slots__ = (
        "_body",
        "_last",
        "_parser",
        "_rest",
        "_stream",
        "_whole",
        "chunks",
        "done",
        "fault",
        "first",
        "gaps",
        "keep",
        "on_body",
        "on_headers_complete",
        "on_message_complete",
        "output_tokens",
        "prompt_tokens",
        "status",
    )  # fmt: skip

    def __init__(self, *, stream: bool) -> None:
        self._stream = stream
        self._body: list[bytes] = []
        self._rest = b""
        self._last = -1
        self._whole = False
        self.status = 0
        self.chunks = self.prompt_tokens = self.output_tokens = 0
        self.first = -1
        self.gaps = array("q")
        self.fault: str | None = None
        self.done = self.keep = False
        # Looked up by the parser when it is made; the body needs no method of ours.
        self.on_body = self._body.append
        self.on_headers_complete = self._on_head
        self.on_message_complete = self._on_end
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes, now: int) -> None:
        """Take in what has come at a time."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.fault, self.done = "protocol", True
            return
        if self._stream and self._body and self.status // 100 == 2:
            self._read_events(now)

    def end(self) -> None:
        """Be told that the connection is over; what needs more than came is truncated."""
        self.keep = False
        if not self.done and self.fault is None and not self._complete():
            self.fault = "truncated" if self.status else "closed"
        self.done = True

    def outcome(self) -> str:
        """Return what came of it, once it is done."""
        complete = self._complete()
        if self.fault is not None:
            return self.fault
        if self.status // 100 != 2:
            return f"http_{self.status}"
        if not complete:
            return "truncated" if self._stream else "not_json"
        return OK

    def _on_head(self) -> None:
        self.status = self._parser.get_status_code()

    def _on_end(self) -> None:
        if self.status // 100 != 1:
            self.done, self.keep = True, self._parser.should_keep_alive()

    def _complete(self) -> bool:
        if not self._stream and not self._whole and self._body and self.status // 100 == 2:
            self._read_whole()
        return self._whole

    def _read_whole(self) -> None:
        try:
            answer = orjson.loads(b"".join(self._body))
            self._usage(answer.get("usage"))
        except (orjson.JSONDecodeError, AttributeError):
            return
        if "error" in answer:
            self.fault = "in_band"
        self._whole = True

    def _read_events(self, now: int) -> None:
        lines = (self._rest + b"".join(self._body)).split(b"\n")
        self._body.clear()
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                try:
                    event = orjson.loads(line[5:])
                except orjson.JSONDecodeError:
                    if line[5:].strip() == b"[DONE]":
                        self._whole = True
                    else:
                        self.fault = "not_json"
                    continue
                self._take(event, now)

    def _take(self, event: Mapping[str, Any], now: int) -> None:
        choices = event.get("choices")
        if choices:
            choice = choices[0]
            delta = choice.get("delta")
            if delta and (delta.get("content") or any(map(delta.get, _CONTENT))):
                self.chunks += 1
                if self.first < 0:
                    self.first = now
                else:
                    self.gaps.append(now - self._last)
                self._last = now
            if choice.get("finish_reason"):
                self._whole = True
        usage = event.get("usage")
        if usage:
            self._usage(usage)
        if event.get("error"):
            self.fault = "in_band"

    def _usage(self, usage: Mapping[str, Any] | None) -> None:
        if usage:
            self.prompt_tokens = int(usage.get("prompt_tokens") or 0)
            self.output_tokens = int(usage.get("completion_tokens") or 0)
