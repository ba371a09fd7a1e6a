"""Making keys, whoever they are for: what is kept of one, and what ends another in the same breath."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from proxy.bank.store import Statement
from proxy.words.ids import KEY_PREFIXES, KeyKind, key_digest, new_key

from .events import Event, event_of
from .terms import LIMITS

NO_END: Final = 2**62
"""More than there can be of anything: for those whom nobody bounds."""
OWN: Final = ("name", *LIMITS, "models", "strategy", "expires_at")
"""What a key has of its own, and its successor takes over."""
END: Final = "UPDATE api_key SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL RETURNING id"
END_OF_PROJECT: Final = (
    "UPDATE api_key SET revoked_at = ? WHERE project = ? AND revoked_at IS NULL RETURNING id"
)
# Other machines' transactions that replace or end the same wait here for the first to be committed, and
# their next statements see what it did.
STILL: Final = "UPDATE api_key SET name = name WHERE id = ?"
STILL_PROJECT: Final = "UPDATE project SET name = name WHERE id = ?"
STILL_ACCOUNT: Final = "UPDATE profile SET plan = plan WHERE account = ?"
_WHERE: Final = {
    "living": "EXISTS (SELECT 1 FROM project WHERE id = ? AND deleted_at IS NULL)",
    "room": "(SELECT count(*) FROM api_key AS made WHERE made.account = ? AND made.playground = 0"
    " AND made.project IS NULL AND made.revoked_at IS NULL) < ?",
    "playing": "(SELECT count(*) FROM api_key AS made WHERE made.account = ? AND made.playground = 1"
    " AND made.revoked_at IS NULL AND made.expires_at > ?) < ?",
}
"""What has to be so for a key to be made."""
_COPIED: Final = ", ".join(("account", "project", *OWN))
_SUCCESSOR: Final = (
    f"INSERT INTO api_key (digest, kind, prefix, last4, created_at, {_COPIED})"  # noqa: S608 - ours
    f" SELECT ?, ?, ?, ?, ?, {_COPIED} FROM api_key WHERE id = ? AND revoked_at IS NULL RETURNING id"
)


def replaced(ended: Sequence[tuple[int]]) -> dict[str, int]:
    """Return how the key is told of that another took the place of: for the audit log, too."""
    return {"replaced": ended[0][0]} if ended else {}


class Issue(NamedTuple):
    """A key that is about to be made. `key` is shown once and kept nowhere."""

    key: str
    kind: KeyKind
    digest: bytes
    now: int

    @classmethod
    def make(cls, kind: KeyKind, pepper: bytes, now: int) -> Issue:
        """Draw a key of that kind, made `now`, in Unix seconds."""
        key = new_key(kind)
        return cls(key, kind, key_digest(pepper, key), now)

    @property
    def shown(self) -> dict[str, str]:
        """The ends of the key, which may be told."""
        return {"prefix": KEY_PREFIXES[self.kind], "last4": self.key[-4:]}

    @property
    def row(self) -> tuple[bytes, str, str, str, int]:
        """What is kept of it: digest, kind, prefix, last four, and when it was made."""
        return self.digest, self.kind, *self.shown.values(), self.now  # type: ignore[return-value]

    def _insert(
        self,
        account: int,
        columns: Mapping[str, Any],
        where: Literal["living", "room", "playing"],
        values: Sequence[Any],
    ) -> Statement:
        """Return the statement that makes it, with `columns` of its own; it gives no row unless `where`."""
        names = ("digest", "kind", "prefix", "last4", "created_at", "account", *columns)
        marks = ", ".join("?" * len(names))
        sql = f"INSERT INTO api_key ({', '.join(names)}) SELECT {marks} WHERE {_WHERE[where]} RETURNING id"
        return sql, (*self.row, account, *columns.values(), *values)

    def insert_among(self, account: int, columns: Mapping[str, Any], most: int) -> Statement:
        """Return the statement that makes it, with `columns` of its own.

        It gives no row where the account has so many keys that were not revoked.
        """
        return self._insert(account, columns, "room", (account, most))

    def insert_to_play(self, account: int, columns: Mapping[str, Any], most: int) -> Statement:
        """Return the same for a page of the dashboard, unless so many of the account's have one."""
        return self._insert(account, columns, "playing", (account, self.now, most))

    def insert_of_project(self, account: int, columns: Mapping[str, Any]) -> Statement:
        """Return the same for a key of `columns["project"]`, unless that is deleted."""
        return self._insert(account, columns, "living", (columns["project"],))

    def succeed(self, key_id: int) -> Statement:
        """Return the statement that makes it as an active key's successor; it gives no row for any other."""
        return _SUCCESSOR, (*self.row, key_id)

    def told(self, event: Event) -> Statement:
        """Return the statement that tells its project of it, once it is there."""
        event_id = f"evt_{secrets.token_hex(12)}"
        return event_of(event, event_id, self.shown, self.now, self.digest, ended_at=None)
