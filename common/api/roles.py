"""What a person or a program may do: each role may all that the ones before it may.

Every view says for each of its actions which role it asks for; a system check finds one that does
not.
"""

from enum import IntEnum


class Role(IntEnum):
    EVERYONE = 0
    VIEWER = 1
    ANALYST = 2
    EDITOR = 3
    OPERATOR = 4
    ADMIN = 5


Access = dict[str, Role]
"""The role that each action of a ViewSet, or each method of a view, asks for."""
