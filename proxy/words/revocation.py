"""The end of a key, or of many: what running requests have to hear of."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .principal import Principal


class Revocation(NamedTuple):
    """A key, or all those of a project or an account, may be used no longer; `at` is Unix seconds.

    A key that is rotated or that expires is not revoked: what runs by it may finish.
    """

    kind: Literal["key", "project", "account"]
    id: int
    at: float

    def ends(self, principal: Principal) -> bool:
        """Tell whether it is this caller's end."""
        owners = {"key": principal.key_id, "project": principal.project, "account": principal.account}
        return owners[self.kind] == self.id
