"""Who calls: what a request's `user` is to the API, and what each process remembers of tokens."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bson import ObjectId

from common.api.roles import Role


@dataclass(frozen=True)
class Caller:
    """Somebody with a role, EVERYONE where they have none.

    `name` is what the audit calls them; `user_id` is None for `open`, and for a token without an
    owner. `expires_at` is a token's, in UTC.
    """

    name: str
    role: Role
    by: Literal["token", "session", "open"]
    user_id: ObjectId | None = None
    expires_at: datetime | None = None


OPEN = Caller("open", Role.ADMIN, "open")

REMEMBERED_S = 5.0
"""How long a token that was right is taken for right: what ended elsewhere works so long."""
MOST_REMEMBERED = 10_000


class Memory:
    """The tokens that were right a moment ago, by hash; each process has its own."""

    def __init__(self) -> None:
        self.generation = 0
        self._callers: dict[str, tuple[float, Caller]] = {}

    def recall(self, digest: str) -> Caller | None:
        until, caller = self._callers.get(digest, (0.0, None))
        return caller if until > time.monotonic() else None

    def remember(self, digest: str, caller: Caller, generation: int) -> None:
        """Note a token that was read while `generation` was the current one."""
        if len(self._callers) >= MOST_REMEMBERED:
            self._callers = {}
        if generation == self.generation:
            self._callers[digest] = (time.monotonic() + REMEMBERED_S, caller)

    def forget(self) -> None:
        """Have every token read anew: one was ended, or somebody's role is another."""
        self.generation += 1
        self._callers = {}


memory = Memory()
