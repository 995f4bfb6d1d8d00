"""Seals the entries, in order, and removes those that are older than they are kept.

One process at a time does, as a lease says; but nothing depends on that. An entry gets its place by
compare-and-set while it has none, the head moves by compare-and-set from where it was read, and
no two entries have one `seq`, by a unique index. Whoever was frozen and wakes can do no harm.
"""

from __future__ import annotations

import secrets
import time
from datetime import datetime, timedelta

from django.conf import settings
from pymongo.errors import DuplicateKeyError

from audit import chain
from audit.chain import ChainBroken, Link
from audit.models import Entry
from common.documents import store
from common.documents.store import Stored

LEASE_S = 2.5
SETTLED_S = 0.7
"""Entries are sealed after so long: the order of their moments is that of their commits by then."""
BATCH = 100
"""So many at most stand behind the head, where a process was killed."""
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
    batch = _unsealed(naive_now() - timedelta(seconds=settled_s))
    return _seal(batch) if batch else 0


def _unsealed(before: datetime) -> list[Stored]:
    condition = {"seq": None, "at": {"$lte": before}}
    order = [("at", 1), ("_id", 1)]
    return list(store.collection(Entry).find(condition, sort=order, limit=BATCH))


def _seal(batch: list[Stored]) -> int:
    """Seal entries one after the other, and move the head behind the last.

    No transaction: that of a process which was killed would hold them for a minute.
    """
    _begin()
    head = chain.read_mark("head")
    last, key = _newest(head), chain.sealing_key()
    for document in batch:
        last = _write(document, chain.linked(document, last, key))
    if not chain.move_mark("head", head, last):
        raise Overtaken
    return len(batch)


def _begin() -> None:
    """Have a head before the first entry is sealed: one that is missed later was taken away."""
    is_new = store.collection(Entry).find_one({"seq": {"$ne": None}}, {"_id": 1}) is None
    if is_new and chain.read_mark("head") is None:
        chain.move_mark("head", None, chain.START)


def _write(document: Stored, sealed: Stored) -> Link:
    collection = store.collection(Entry)
    try:
        written = collection.update_one({"_id": document["_id"], "seq": None}, {"$set": sealed})
    except DuplicateKeyError as first:
        raise Overtaken from first
    if not written.matched_count:
        raise Overtaken
    return chain.link_of(sealed)


def _newest(head: Link | None) -> Link:
    """Return the last place that is taken: the head's, or that of what a crash left behind it.

    Raises ChainBroken where the head is gone, or what stands behind it was not sealed here.
    """
    if head is None:
        raise ChainBroken("The head of the audit is gone.")
    last = head
    behind = {"seq": {"$gt": head.seq}}
    for document in store.collection(Entry).find(behind, sort=[("seq", 1)], limit=BATCH + 1):
        if not chain.follows(last, document) or last.seq == head.seq + BATCH:
            if chain.read_mark("head") != head:
                raise Overtaken
            raise ChainBroken(f"What stands behind seq {last.seq} was not sealed by the service.")
        last = chain.link_of(document)
    return last


# --- Removal by age -------------------------------------------------------------------------------


def cut_old() -> int:
    """Remove entries older than AUDIT_KEEP_DAYS, and note where the chain begins since.

    Only what is as it was sealed goes. The note comes first: what a crash leaves in front of it is
    removed later. Returns how many are gone. Raises Overtaken, ChainBroken.
    """
    if not settings.AUDIT_KEEP_DAYS:
        return 0
    cut = chain.read_mark("cut")
    last = _last_to_go(cut or chain.START, naive_now() - timedelta(days=settings.AUDIT_KEEP_DAYS))
    if last.seq > (cut or chain.START).seq and not chain.move_mark("cut", cut, last):
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
