"""What projects are told of their keys: which was replaced or ended, never the key.

An event is written in the transaction that changes the key, and kept until `webhooks` has told of it. Calls
are signed as Standard Webhooks has it (standardwebhooks.com, version 1): `webhook-id`, `webhook-timestamp`
(Unix seconds) and `webhook-signature`: `v1,` and the base64 of HMAC-SHA256(secret, id.timestamp.body).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from proxy.bank.store import Statement

Event = Literal["project.key_rotated", "project.key_revoked"]
_SECRET: Final = "whsec_"  # noqa: S105 - what a secret begins with
_ADD: Final = """
INSERT INTO webhook_event (id, project, body, created_at)
SELECT ?, project.id, json_set(?, '$.project', project.name), ?
FROM api_key JOIN project ON project.id = api_key.project
WHERE project.webhook IS NOT NULL AND api_key.digest = ? AND coalesce(api_key.revoked_at, -1) = ?
ON CONFLICT DO NOTHING
"""


def event_of(
    event: Event, event_id: str, key: Mapping[str, str], now: int, digest: bytes, *, ended_at: int | None
) -> Statement:
    """Return the statement that writes an event, where the project of the key has a webhook.

    It does so only if the key with that digest ended at `ended_at`, or lives where that is None.
    """
    at = datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")
    body: dict[str, Any] = {"event": event, "project": None, "key": dict(key), "at": at}
    ended = -1 if ended_at is None else ended_at
    return _ADD, (event_id, orjson.dumps(body).decode(), now, digest, ended)


def revocation_of(key_id: int, prefix: str, last4: str, now: int, digest: bytes) -> Statement:
    """Return the statement that tells of a key which ends `now`; once, for it ends once."""
    key = {"prefix": prefix, "last4": last4}
    return event_of("project.key_revoked", f"evt_revoked_{key_id}", key, now, digest, ended_at=now)


def secret_of(pepper: bytes, salt: bytes) -> str:
    """Return the secret that a salt stands for: it is kept nowhere, and no key's digest is made like it."""
    return _SECRET + base64.b64encode(hmac.digest(pepper, b"webhook:" + salt, "sha256")).decode()


def signature(secret: str, event: str, at: str, body: bytes) -> str:
    """Sign a call. `at` is Unix seconds in decimal."""
    key = base64.b64decode(secret.removeprefix(_SECRET))
    return "v1," + base64.b64encode(hmac.digest(key, f"{event}.{at}.".encode() + body, "sha256")).decode()
