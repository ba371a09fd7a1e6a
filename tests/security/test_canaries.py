"""S28, S29, S31, S43: thirteen secrets go through everything a gateway can meet, and turn up nowhere.

A real process, so that all it writes is seen: what it prints and logs, its database, metrics, health and
commands, and what it tells clients of failures. Answers are not looked at: they are the client's own.
"""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.fakes.cases import CASES
from tests.fakes.client import Answer, Client, chat, get, post
from tests.fakes.script import STALL, Problem, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG
from tests.process.place import ADMIN, Place, Served, free_port

UPSTREAM_KEY: Final = "sk-upstream-CANARY-0123456789"
"""What `Place` gives its provider."""
SCRIPTS: Final = [
    case.script
    for case in CASES
    if case.place == "upstream"
    and case.leaves is None
    and case.money == "plenty"
    and case.row not in {"F39", "F73", "F74", "F78"}
]
TIMEOUTS: Final = "[timeouts]\nconnect = 0.3\nfirst_byte = 0.3\nidle = 0.3\ntotal = 3.0\n[race]\nagain = 0\n"
MODELS: Final = "".join(
    f"""
[[models]]
id = "m{number}"
deployments = [{{provider = "up", model = "m{number}"}}]
price = {{input = "1", output = "2"}}
"""
    for number in range(200)
)
"""One for each request: a breaker that opened would keep the next one from its upstream."""
PATHS: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "messages",
    "/api/v1/chat/completions": "messages",
    "/v1/messages": "messages",
    "/v1/responses": "input",
    "/v1/completions": "prompt",
    "/v1/llm/auto": "messages",
    "/api/v1/ai/chat": "messages",
    "/api/v1/ai/generate": "prompt",
    "/api/v1/ai/llm/chat": "messages",
    "/api/v1/ai/llm/generate": "prompt",
}


def marked(what: str) -> str:
    """Make a secret that is found again however it is cut: two marks, and chance between them."""
    return f"CANARY{what}{secrets.token_hex(8)}YRANAC"


@dataclass
class Canaries:
    """The secrets. Those of the gateway's own making are learnt as they are made."""

    prompt: str = field(default_factory=lambda: marked("prompt"))
    system: str = field(default_factory=lambda: marked("system"))
    completion: str = field(default_factory=lambda: marked("completion") + " ")
    upstream_error: str = field(default_factory=lambda: f"sk-{marked('error')}")
    own_key: str = field(default_factory=lambda: f"sk-{marked('own')}last")
    foreign_key: str = field(default_factory=lambda: f"sk-ant-{marked('foreign')}")
    cookie: str = field(default_factory=lambda: marked("cookie"))
    upstream_key: str = UPSTREAM_KEY
    password: str = ""
    starter_key: str = ""
    project_key: str = ""
    webhook_secret: str = ""
    code: str = ""

    def items(self) -> Iterator[tuple[str, str]]:
        for name, secret in vars(self).items():
            assert len(secret) >= 8, f"{name} was never made"
            yield name, secret.strip()


@dataclass
class Said:
    """All that was told to somebody other than the client whose own words they are."""

    texts: dict[str, str] = field(default_factory=dict)

    def found(self, canaries: Canaries) -> list[tuple[str, str]]:
        return [
            (where, name)
            for where, text in self.texts.items()
            for name, secret in canaries.items()
            if secret in text or json.dumps(secret)[1:-1] in text
        ]


async def prepared(place: Place, canaries: Canaries, gateway: Served) -> None:
    """Make one of everything there is a secret of."""
    canaries.starter_key = gateway.starter_key
    canaries.password = gateway.password
    made = (
        await place.run("projects", "create", ADMIN, "shop", "--webhook", "https://example.com/x", "--json")
    ).json
    canaries.project_key, canaries.webhook_secret = made["key"], made["webhook_secret"]
    added = await place.run("byok", "add", ADMIN, "elevenlabs", said=canaries.own_key.encode())
    assert added.code == 0, added.err
    canaries.code = (await place.run("codes", "create", "5", "--json")).json["codes"][0]


def body_of(canaries: Canaries, member: str, *, stream: bool, model: str = "m") -> dict[str, Any]:
    """Ask with the prompt in it wherever a prompt may be."""
    content = f"{canaries.prompt} and {canaries.upstream_key[:4]}"
    body: dict[str, Any] = {"model": model, "max_tokens": 8, "stream": stream}
    if member == "messages":
        body["messages"] = [{"role": "user", "content": content}]
    else:
        body[member] = content
    return body


async def ask_everything(url: str, upstream: FaultyUpstream, canaries: Canaries, said: Said) -> int:
    """Play every script at the chat route, every route with a few; return how many were asked."""
    asked = 0
    chats = "/v1/chat/completions"
    plays: list[tuple[str, Script]] = [(chats, script) for script in SCRIPTS]
    broken = Problem(f"no {canaries.upstream_error} here", 500)
    for path in PATHS:
        plays += [
            (path, Script(tokens=3)),
            (path, Script(status=500, content_type="application/json", body=broken)),
            (path, Script(status=400, content_type="application/json", body=replace(broken, status=400))),
            (path, Script(at=((2, broken),))),
            (path, Script(at=((2, "rst"),))),
        ]
    for number, (path, script) in enumerate(plays):
        member, stream = PATHS[path], number % 2 == 0
        upstream.default = replace(script, word=canaries.completion)
        key = canaries.project_key if number % 5 == 4 and "/ai/" in path else canaries.starter_key
        body = body_of(canaries, member, stream=stream, model=f"m{number}")
        if member == "messages" and path == chats:
            body["messages"].insert(0, {"role": "system", "content": canaries.system})
        headers = {"Cookie": f"session={canaries.cookie}", "Idempotency-Key": f"k{number}"}
        answer = await post(url, path, body, key=key, headers=headers)
        said.texts[f"failure {number} of {path}"] = told_of_failure(answer, canaries)
        asked += 1
    return asked


def told_of_failure(answer: Answer, canaries: Canaries) -> str:
    """Return what an answer says that is not the model's: its head, and the body of an error.

    `/responses` tells with a failure what there was of the answer: that is the client's.
    """
    if answer.status >= 400:
        return (answer.head + answer.body).decode(errors="replace")
    frames = [payload for payload in answer.payloads if b'"error"' in payload]
    return (answer.head + b"\n".join(frames)).decode(errors="replace").replace(canaries.completion, "")


async def ask_wrongly(url: str, upstream: FaultyUpstream, canaries: Canaries, said: Said) -> None:
    """Put secrets where they do not belong, and leave in the middle."""
    plain = chat("m", stream=False, max_tokens=4)
    odd: list[Any] = [{"role": canaries.prompt, "content": "x"}]
    wrong: list[tuple[str, dict[str, str], dict[str, Any] | bytes]] = [
        ("/v1/chat/completions", {"Authorization": f"Bearer {canaries.foreign_key}"}, plain),
        ("/v1/chat/completions", {"Authorization": f"Bearer {canaries.starter_key}x"}, plain),
        ("/v1/chat/completions", {"x-api-key": canaries.project_key[:-1]}, plain),
        ("/v1/chat/completions", {}, {**plain, "messages": canaries.prompt}),
        ("/v1/chat/completions", {}, {**plain, "temperature": canaries.prompt}),
        ("/v1/chat/completions", {}, {**plain, "messages": odd}),
        ("/v1/chat/completions", {}, f'{{"messages": "{canaries.prompt}'.encode()),
        ("/v1/chat/completions", {"X-Request-ID": f"a\u00e9{canaries.cookie}"}, plain),
        (f"/v1/{canaries.cookie}", {}, plain),
    ]
    for number, (path, headers, body) in enumerate(wrong):
        key = None if headers.keys() & {"Authorization", "x-api-key"} else canaries.starter_key
        answer = await post(url, path, body, key=key, headers=headers)
        assert answer.status >= 400 or number == 7
        said.texts[f"mistake {number}"] = (answer.head + answer.body).decode(errors="replace")
    upstream.default = Script(word=canaries.completion, at=((2, STALL),))
    for payloads in (0, 1, 2):
        async with Client(url, canaries.starter_key) as client:
            await client.request("/v1/chat/completions", body_of(canaries, "messages", stream=True))
            if payloads:
                await client.head()
                await client.payloads(payloads)


async def overheard(place: Place, url: str, scrape: str, said: Said) -> None:
    """Read all that anybody may read without a key, and all an operator is told."""
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        said.texts[path] = (await get(url, path)).body.decode()
    said.texts["metrics"] = (await get(scrape, "/metrics")).body.decode()
    for command in (
        ("accounts", "list"),
        ("keys", "list", ADMIN),
        ("projects", "list", ADMIN),
        ("codes", "list"),
        ("audit", "list"),
        ("usage", "list", ADMIN),
        ("config", "check"),
        ("accounts", "export", ADMIN),
        ("verify",),
    ):
        done = await place.run(*command)
        said.texts[" ".join(command)] = done.out + done.err


@pytest.mark.parametrize("workers", ["1"])
async def test_s28_thirteen_secrets_driven_through_everything_are_found_nowhere(
    tmp_path: Path, upstream: FaultyUpstream, workers: str
) -> None:
    port = free_port()
    canaries, said = Canaries(), Said()
    more = f'[metrics]\nbind = "127.0.0.1:{port}"\n{TIMEOUTS}'
    place = Place(tmp_path, drain=1, upstream=upstream.base_url, more=more)
    place.config.write_text(place.config.read_text() + MODELS)
    with trio.fail_after(LONG):
        async with place.serving("--workers", workers) as gateway:
            await prepared(place, canaries, gateway)
            greeting = len(gateway.out)
            assert await ask_everything(gateway.url, upstream, canaries, said) > 90
            await ask_wrongly(gateway.url, upstream, canaries, said)
            await overheard(place, gateway.url, f"http://127.0.0.1:{port}", said)
            assert await gateway.end(signal.SIGTERM) == 0
            said.texts["standard output"] = gateway.out[greeting:]
            said.texts["standard error"] = gateway.err
    assert len(dict(canaries.items())) == 13
    assert said.found(canaries) == []
    assert '"level":"warning"' in said.texts["standard error"], "the log has heard of it"
    for file in place.data.rglob("*"):
        if file.is_file():
            held = file.read_bytes()
            hits = [name for name, secret in canaries.items() if secret.encode() in held]
            assert hits == [], f"{file.name} holds {hits}"
    for name in ("pepper",):
        pepper = (place.data / "secrets" / name).read_bytes()
        assert pepper not in (place.data / "headrace.db").read_bytes()
    assert place.rows("SELECT count(*) FROM usage_record")[0][0] > 90


def test_s28_the_search_finds_what_it_looks_for() -> None:
    canaries = Canaries(password="password", starter_key="starter_key", project_key="project_key")
    canaries.webhook_secret, canaries.code = 'a "quoted" secret', "one-time-code"
    said = Said(
        {"log": f"x{canaries.cookie}y", "json": json.dumps({"a": canaries.webhook_secret}), "": "CANARY"}
    )
    assert said.found(canaries) == [("log", "cookie"), ("json", "webhook_secret")]
