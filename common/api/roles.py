"""What a person or a program may do: each role may all that the ones before it may.

Every view says for each of its actions which role it asks for; a system check finds one that does
not. `common/api/endpoints.py` has all of it in one table.
"""

from enum import IntEnum
from typing import Any


class Role(IntEnum):
    EVERYONE = 0
    VIEWER = 1
    ANALYST = 2
    EDITOR = 3
    OPERATOR = 4
    ADMIN = 5

    @property
    def word(self) -> str:
        """Return the role as answers, groups and documents have it: `viewer`."""
        return self.name.lower()


ROLES = {role.word: role for role in Role if role is not Role.EVERYONE}
"""The roles that somebody can have, by word, least first."""

Access = dict[str, Role]
"""The role that each action of a ViewSet, or each method of a view, asks for."""


def role_for(view: Any, action: str) -> Role:
    """Return the role that an action asks for; what no view declares is for admins alone."""
    access: dict[str, Role] = getattr(view, "access", {})
    return access.get(action, Role.ADMIN)
