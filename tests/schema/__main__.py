"""Asks every operation of a running gateway's document, and holds each answer to what is said of it there.

It runs in a process of its own, for the library that makes the requests warns and patches as it likes.
Standard input is a JSON object: `url`, `key`, `email`, `password`, `role`, and `other`, an account that may
come to harm. What is found is printed, one JSON object a line, the last of them what was asked; the exit
status is 1 where anything was.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.control.api.examples import EXAMPLES

CHECKS: Final[Any] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LAST: Final = ("/api/auth/login", "/api/auth/confirm", "/api/auth/password", "/api/auth/logout")
"""What uses up attempts at passwords, or ends the session."""
SEED: Final = 20261121
OF_MANAGEMENT, OF_MODELS, FORBIDDEN, CONSTANT = 4, 3, 1, 1
"""Requests of each operation, made well and made badly: the last two are those that are refused by role, and
those that have nothing to choose."""
_PLACES: Final = {
    "/mcp-tokens/": ("id", "/api/user/mcp-tokens", "keys", "id"),
    "/projects/": ("id", "/api/user/projects", "projects", "id"),
    "/keys/": ("id", "/api/aggregator/keys", "keys", "id"),
    "{generation}": ("generation", "/api/user/usage/requests", "requests", "generation_id"),
}
"""Where an operation is followed to what another made: parameter, list, and what stands in it."""


class Asker:
    """Somebody with a key and a session."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.role: str = told["role"]
        self._url: str = told["url"]
        self._told = told
        self._session = requests.Session()
        self._session.trust_env = False
        self._asked = 0
        self._page: dict[str, str] = {}
        self.document = self._session.get(f"{self._url}/openapi.json", timeout=30).json()

    def sign_in(self) -> None:
        """Begin a session."""
        self._session.cookies.clear()
        body = {name: self._told[name] for name in ("email", "password")}
        answer = self._session.post(
            f"{self._url}/api/auth/login", json=body, headers=self._from(), timeout=30
        )
        answer.raise_for_status()
        cookie = answer.headers["set-cookie"].partition(";")[0]
        self._page = {"x-csrf-token": answer.json()["csrf"], "cookie": cookie}

    def read(self, path: str) -> Any:
        """Return what one of our own routes says; nothing where it refuses."""
        answer = self._session.get(f"{self._url}{path}", headers=self._headers(path), timeout=30)
        return answer.json() if answer.status_code == 200 else {}

    def ask(self, case: Any) -> Any:
        """Ask, and return the answer."""
        headers = self._headers(case.operation.path)
        return case.call(base_url=self._url, session=self._session, headers=headers, timeout=60)

    def places(self, path: str) -> dict[str, list[Any]]:
        """Return what there is to be put into a path."""
        if "{account}" in path:
            return {"account": [self._told["other"]]}
        if "{provider}" in path:
            return {"provider": ["sim"]}
        for part, (name, listed, field, column) in _PLACES.items():
            if part in path and "{" in path:
                return {name: [each[column] for each in self.read(listed).get(field, ())][-5:]}
        return {"id": ["sim/echo"]} if "{id}" in path else {}

    def _headers(self, path: str) -> dict[str, str]:
        if path.startswith(("/v1/", "/api/v1/")):
            return {"authorization": f"Bearer {self._told['key']}"}
        return {**self._from(), **self._page}

    def _from(self) -> dict[str, str]:
        """Come from another address each time: attempts at passwords are counted for each."""
        self._asked += 1
        return {
            "origin": self._url,
            "x-forwarded-for": f"198.51.{self._asked // 250 % 250}.{self._asked % 250}",
        }


def example_of(operation: Any) -> Any:
    """Return a body that does what an operation is for, if there is one."""
    definition = operation.definition.raw
    name = definition["operationId"].removesuffix("_dashboard")
    if name in EXAMPLES:
        return None if operation.path in LAST else EXAMPLES[name].body
    content = definition.get("requestBody", {}).get("content", {})
    found = content.get("application/json", {}).get("example")
    return None if found is None else {**found, "model": "sim/echo"}


def amended(case: Any, data: Any, places: Mapping[str, list[Any]], example: Any) -> None:
    """Lead some of the requests to what there is, and make some of their bodies good but for one field."""
    for name, there in places.items():
        if there and data.draw(st.booleans()):
            case.path_parameters[name] = data.draw(st.sampled_from(there))
    if isinstance(example, dict) and isinstance(case.body, dict) and data.draw(st.booleans()):
        other = sorted(case.body.keys() - {"model"}, key=str)
        kept = {name: case.body[name] for name in other[:1]} if data.draw(st.booleans()) else {}
        case.body = {**example, **kept}


def asking(asker: Asker, operation: Any, mode: GenerationMode, most: int, note: Callable[..., None]) -> None:
    """Ask an operation so many times; every answer that is not as it should be is noted."""
    places, example = asker.places(operation.path), example_of(operation)

    @seed(SEED)
    @settings(
        max_examples=most,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def ask(case: Any, data: Any) -> None:
        amended(case, data, places, example if mode is GenerationMode.POSITIVE else None)
        if (case.path_parameters or {}).get("account") == 1:
            return  # who asks would shut themselves out
        answer = asker.ask(case)
        note(case, answer, ["it failed inside"] if answer.status_code == 500 else [])
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            note(case, answer, [f"{type(each).__name__}: {each}" for each in group.exceptions])

    ask()


def found_by(asker: Asker) -> Iterator[dict[str, Any]]:
    """Ask every operation, and tell what is not as it was said; in the end what was answered how often."""
    seen: Counter[str] = Counter()
    operations: list[Any] = [
        each.ok()  # type: ignore[union-attr]  # the document is valid: another test says so
        for each in schemathesis.openapi.from_dict(asker.document).get_all_operations()
    ]
    for operation in sorted(operations, key=lambda each: LAST.index(each.path) if each.path in LAST else -1):
        failures: dict[str, dict[str, Any]] = {}

        def note(case: Any, answer: Any, why: list[str], failures: dict[str, Any] = failures) -> None:
            seen[f"{case.operation.label} {answer.status_code}"] += not why
            for each in why:
                told = {"operation": case.operation.label, "status": answer.status_code, "why": each[:600]}
                asked = {"asked": case.as_curl_command()[:600], "answer": answer.text[:400]}
                failures.setdefault(each.partition("\n")[0], told | asked)

        for mode, most in rounds(asker, operation):
            if not asker.read("/api/auth/me"):
                asker.sign_in()
            asking(asker, operation, mode, most, note)
        yield from failures.values()
    yield {"seen": dict(sorted(seen.items()))}


def rounds(asker: Asker, operation: Any) -> Iterator[tuple[GenerationMode, int]]:
    """Return how often an operation is asked, well and badly."""
    path = operation.path
    chosen = bool(operation.body) or any(operation.iter_parameters())
    if path.startswith("/api/admin/") and asker.role != "admin":
        most = FORBIDDEN
    elif path.startswith(("/v1/", "/api/v1/")):
        # Both roles' keys are alike.
        most = OF_MODELS if asker.role != "admin" else 0
    else:
        most = OF_MANAGEMENT
    if most:
        yield GenerationMode.POSITIVE, most if chosen else min(most, CONSTANT)
    if most > FORBIDDEN and chosen:
        yield GenerationMode.NEGATIVE, most


def main() -> int:
    """Ask, and tell."""
    asker = Asker(json.load(sys.stdin))
    asker.sign_in()
    found = list(found_by(asker))
    print("\n".join(map(json.dumps, found)))
    return int(len(found) > 1)


if __name__ == "__main__":
    sys.exit(main())
