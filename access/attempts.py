"""Wrong passwords and tokens: ten in a minute from one address, counted over all processes.

A document of each address counts its minute, which begins with the first wrong attempt. Both writes
are conditions on that one document, so that the count is exact however many come at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import TypeVar

from pymongo.errors import DuplicateKeyError

from common import context
from common.documents import store
from common.documents.store import Stored
from common.exceptions import ServiceError

T = TypeVar("T")

COLLECTION = "attempts"
"""Documents of it expire; see the migration."""
MOST = 10
MINUTE = timedelta(seconds=60)


class TooManyAttempts(ServiceError):
    status = 429
    code = "too_many_attempts"

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            f"Too many wrong passwords or tokens came from this address; try again in {wait_s} s."
        )
        self.headers = {"Retry-After": str(wait_s)}


def note() -> None:
    """Count a wrong attempt of the caller's address. Raises TooManyAttempts from the 11th on."""
    key, attempts = _address(), store.named(COLLECTION)
    now = store.now().replace(tzinfo=None)
    this_minute = {"_id": key, "since": {"$gt": now - MINUTE}}
    another = {"_id": key, "since": {"$lte": now - MINUTE}}
    has_place = {**this_minute, "count": {"$lt": MOST}}
    if attempts.update_one(has_place, {"$inc": {"count": 1}}).matched_count:
        return
    try:
        attempts.update_one(another, {"$set": {"since": now, "count": 1}}, upsert=True)
    except DuplicateKeyError:
        # It has a minute that runs: a full one, or one that another attempt has just begun.
        if not attempts.update_one(has_place, {"$inc": {"count": 1}}).matched_count:
            raise _refusal(attempts.find_one(this_minute)) from None


def refuse_if_spent() -> None:
    """Raise TooManyAttempts where the caller's address has no attempt left in this minute."""
    since = store.now().replace(tzinfo=None) - MINUTE
    spent = {"_id": _address(), "since": {"$gt": since}, "count": {"$gte": MOST}}
    if found := store.named(COLLECTION).find_one(spent):
        raise _refusal(found)


def checked(look: Callable[[], T | None]) -> T | None:
    """Return what `look` makes of a password: None where it is wrong.

    The attempt is counted before anybody looks, and given back where the password was right: of
    many at once no more than ten are looked at. Raises TooManyAttempts.
    """
    note()
    if found := look():
        give_back()
    return found


def give_back() -> None:
    """Take back an attempt that was noted, as it was none."""
    store.named(COLLECTION).update_one({"_id": _address()}, {"$inc": {"count": -1}})


def _address() -> str:
    return context.current().address or "unknown"


def _refusal(found: Stored | None) -> TooManyAttempts:
    now = store.now().replace(tzinfo=None)
    left = (found or {}).get("since", now) + MINUTE - now
    return TooManyAttempts(max(1, ceil(left.total_seconds())))
