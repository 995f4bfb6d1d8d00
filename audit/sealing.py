"""Seals the entries, in order, and removes those that are older than they are kept.

One process at a time does, as a lease says; but nothing depends on that. The head is moved first,
by compare-and-set from where it was read, and tells the seals of the entries up to it; then these
are written, each into an entry that has none. Whoever was killed between the two has left what the
next one writes; whoever was frozen there writes what is there already.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from bson import ObjectId
from django.conf import settings
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from audit import chain
from audit.chain import ChainBroken, Link, Mark
from audit.models import Entry
from common.documents import store
from common.documents.store import Stored

LEASE_S = 2.5
SETTLED_S = 0.7
"""Entries are sealed after so long: the order of their moments is that of their commits by then."""
BATCH = 200
CUT_EVERY_S = 60.0
CUT_BATCH = 5_000


class Overtaken(Exception):
    """Another process seals: what this one read is no longer so."""


class Sealer:
    """A process, as those who seal are told apart."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        self.next_cut = 0.0

    def turn(self) -> int:
        """Seal a batch if it is this process's turn; return how many entries that were.

        Raises ChainBroken.
        """
        if not self.has_lease():
            return 0
        try:
            sealed = seal_some()
            if time.monotonic() >= self.next_cut:
                cut_old()
                self.next_cut = time.monotonic() + CUT_EVERY_S
        except Overtaken:
            return 0
        return sealed

    def has_lease(self) -> bool:
        """Take the lease, or prolong it; tell whether it is this process's."""
        moment = naive_now()
        mine_or_over: list[Stored] = [{"holder": self.name}, {"until": {"$lt": moment}}]
        taken = {"holder": self.name, "until": moment + timedelta(seconds=LEASE_S)}
        try:
            found = store.named(chain.MARKS).update_one(
                {"_id": "lease", "$or": mine_or_over}, {"$set": taken}, upsert=True
            )
        except DuplicateKeyError:
            # It is there, and another's.
            return False
        return bool(found.matched_count or found.upserted_id)


def naive_now() -> datetime:
    return store.now().replace(tzinfo=None)


# --- Sealing --------------------------------------------------------------------------------------


def seal_all() -> int:
    """Seal every entry there is, also the youngest; return how many.

    Raises ChainBroken, and Overtaken where another process does the same.
    """
    sealed = 0
    while batch := seal_some(settled_s=0):
        sealed += batch
    return sealed


def seal_some(settled_s: float = SETTLED_S) -> int:
    """Seal a batch of the oldest entries that are older than `settled_s`; return how many."""
    head = _head()
    _write(head.seals)
    batch = _unsealed(naive_now() - timedelta(seconds=settled_s))
    if not batch:
        return 0
    after = _sealed(batch, head.link)
    if not chain.move_mark("head", head, after):
        raise Overtaken
    _write(after.seals)
    return len(batch)


def _head() -> Mark:
    """Return the head, which is there before the first entry is sealed.

    One that is missed later was taken away: raises ChainBroken.
    """
    head = chain.read_mark("head")
    if head is None and store.collection(Entry).find_one({"seq": {"$ne": None}}, {"_id": 1}):
        raise ChainBroken("The head of the audit is gone.")
    if head is None and not chain.move_mark("head", None, Mark(chain.START)):
        raise Overtaken
    return head or Mark(chain.START)


def _unsealed(before: datetime) -> list[Stored]:
    condition = {"seq": None, "at": {"$lte": before}}
    order = [("at", 1), ("_id", 1)]
    return list(store.collection(Entry).find(condition, sort=order, limit=BATCH))


def _sealed(batch: Iterable[Stored], last: Link) -> Mark:
    """Return where the head stands behind a batch, with the seals of its entries."""
    key, seals = chain.sealing_key(), []
    for document in batch:
        seal = chain.linked(document, last, key)
        seals.append({"id": str(document["_id"]), **seal})
        last = chain.link_of(seal)
    return Mark(last, tuple(seals))


def _write(seals: Iterable[Stored]) -> None:
    """Write seals into their entries, unless they have them.

    In no transaction: that of a process which was killed would hold them for a minute.
    """
    requests = [
        UpdateOne(
            {"_id": ObjectId(seal["id"]), "seq": None},
            {"$set": {name: seal[name] for name in ("seq", "previous_hash", "hash")}},
        )
        for seal in seals
    ]
    if not requests:
        return
    try:
        store.collection(Entry).bulk_write(requests, ordered=False)
    except BulkWriteError as failure:
        raise ChainBroken(
            "Another entry, which was not sealed here, has a seq to come."
        ) from failure


# --- Removal by age -------------------------------------------------------------------------------


def cut_old() -> int:
    """Remove entries older than AUDIT_KEEP_DAYS, and note where the chain begins since.

    Only what is as it was sealed goes. The note comes first: what a crash leaves in front of it is
    removed later. Returns how many are gone. Raises Overtaken, ChainBroken.
    """
    if not settings.AUDIT_KEEP_DAYS:
        return 0
    cut = chain.read_mark("cut")
    first = cut.link if cut else chain.START
    last = _last_to_go(first, naive_now() - timedelta(days=settings.AUDIT_KEEP_DAYS))
    if last != first and not chain.move_mark("cut", cut, Mark(last)):
        raise Overtaken
    return store.collection(Entry).delete_many({"seq": {"$lte": last.seq}}).deleted_count


def _last_to_go(last: Link, before: datetime) -> Link:
    """Return the last entry behind `last` up to which all are of before a moment."""
    condition = {"seq": {"$gt": last.seq}}
    for document in store.collection(Entry).find(condition, sort=[("seq", 1)], limit=CUT_BATCH):
        if not chain.follows(last, document) or document["at"] >= before:
            break
        last = chain.link_of(document)
    return last
