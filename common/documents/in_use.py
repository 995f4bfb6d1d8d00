"""Who uses a record without a reference of the ORM's: an app registers what it knows.

A run, say, uses its mapping only until it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bson import ObjectId
from django.db import models

Find = Callable[[ObjectId], tuple[list[str], int]]
"""Returns some names of the users of a record, and how many there are."""


class User(NamedTuple):
    noun: str
    find: Find


_users: dict[type[models.Model], list[User]] = {}


def register(model: type[models.Model], noun: str, find: Find) -> None:
    """Have `find` asked before a record of `model` is deleted; `noun` is what a user is called."""
    _users.setdefault(model, []).append(User(noun, find))


def has_users(model: type[models.Model]) -> bool:
    return model in _users


def users(model: type[models.Model], identifier: Any) -> Iterator[tuple[str, list[str], int]]:
    """Yield the noun, some names and the number of each kind of users that a record has."""
    for user in _users.get(model, ()):
        names, total = user.find(identifier)
        if total:
            yield user.noun, names, total
