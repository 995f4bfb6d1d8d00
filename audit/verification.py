"""Looks over the whole audit for what was changed, removed, inserted or cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any

from bson import ObjectId

from audit import chain
from audit.chain import ChainBroken, Link, Mark, MarkName
from audit.models import Entry
from audit.sealing import naive_now
from common.documents import store
from common.documents.store import Stored

BATCH = 1000
PATIENCE_S = 60.0
ATTEMPTS = 3

Advance = Callable[[int], None]


@dataclass
class Findings:
    """What was found: `problems` in words, `newest` the last entry that is as it was sealed."""

    problems: list[str] = field(default_factory=list)
    sealed: int = 0
    unsealed: int = 0
    newest: Link = chain.START


def verify(advance: Advance, known: Link | None = None) -> Findings:
    """Return what a look at every entry finds; `known` is a seal that was noted elsewhere."""
    for _ in range(ATTEMPTS):
        found = Findings()
        # Read first: what is sealed meanwhile stands behind it.
        cut, head = _mark("cut", found), _mark("head", found)
        start = cut.link if cut else chain.START
        walk = Walk(found, start, head.link if head else None, known, _still_to_write(head))
        for document in _documents({"seq": {"$ne": None}}, advance):
            walk.add(document)
        walk.end()
        if head is None and found.sealed and not any(p.startswith("head") for p in found.problems):
            found.problems.append("head: removed, so that a cut at the end would not show")
        if not found.problems or cut == _mark("cut", Findings()):
            break
        # Old entries were removed in the middle of it.
    _look_at_waiting(found)
    return found


def _mark(name: MarkName, found: Findings) -> Mark | None:
    try:
        return chain.read_mark(name)
    except ChainBroken:
        found.problems.append(f"{name}: changed, it was not sealed with a key of this service")
        return None


def _still_to_write(head: Mark | None) -> set[int]:
    """Return the `seq` of entries that the head tells, and that have not got it yet."""
    by_id = {ObjectId(seal["id"]): int(seal["seq"]) for seal in (head.seals if head else ())}
    condition = {"_id": {"$in": [*by_id]}, "seq": None}
    return {by_id[one["_id"]] for one in store.collection(Entry).find(condition, {"_id": 1})}


def _documents(condition: Stored, advance: Advance) -> Iterator[Stored]:
    found = store.collection(Entry).find(condition, sort=[("seq", 1)], batch_size=BATCH)
    while True:
        with store.command_timeout():
            batch = list(islice(found, BATCH))
        if not batch:
            return
        yield from batch
        advance(len(batch))


class Walk:
    """The chain from its beginning to its end; entries are added in the order of their `seq`."""

    def __init__(
        self,
        found: Findings,
        cut: Link,
        head: Link | None,
        known: Link | None,
        to_write: set[int],
    ) -> None:
        self.found, self.cut, self.head, self.known = found, cut, head, known
        self.to_write = to_write
        self.last = cut
        self.is_sure = True
        """Whether the last entry is what it was: only then the next can be held against it."""
        self.same: list[Stored] = []

    def add(self, document: Stored) -> None:
        self.found.sealed += 1
        if type(document["seq"]) is not int:
            self._say(f"entry {document['_id']}", "changed or inserted: its seq is no number")
            return
        if self.same and self.same[0]["seq"] != document["seq"]:
            self._step()
        self.same.append(document)

    def end(self) -> None:
        if self.same:
            self._step()
        if self.head and self._is_missing(self.last.seq + 1, self.head.seq):
            self._say(_range(self.last.seq + 1, self.head.seq), "cut off at the end")
        if self.known and self.known.seq > max(self.last.seq, self.cut.seq):
            self._say(f"seq {self.known.seq}", "cut off, though you know of its seal")

    def _step(self) -> None:
        """Look at the entries that have one `seq`: there should be one."""
        genuine = [document for document in self.same if chain.is_genuine(document)]
        documents, self.same = self.same, []
        document = (genuine or documents)[0]
        seq = document["seq"]
        for other in documents:
            if other is not document:
                self._say(f"seq {seq}, entry {other['_id']}", "inserted: another has this seq")
        if seq <= self.cut.seq:
            # A crash in the middle of a removal leaves some; they are due to go.
            if not genuine:
                self._say(f"seq {seq}", "inserted in front of the cut")
            return
        if self._is_missing(self.last.seq + 1, seq - 1):
            self._say(_range(self.last.seq + 1, seq - 1), "removed")
        self.is_sure = self.is_sure and seq == self.last.seq + 1
        if not genuine:
            self._say(f"seq {seq}, entry {document['_id']}", self._what_happened(seq))
        elif self.is_sure and document["previous_hash"] != self.last.hash:
            self._say(f"seq {seq}", "inserted, or exchanged: the one before is not what it follows")
        self._compare_with_marks(document)
        self.last, self.is_sure = chain.link_of(document), bool(genuine)
        if genuine:
            self.found.newest = self.last

    def _is_missing(self, first: int, last: int) -> bool:
        return any(seq not in self.to_write for seq in range(first, last + 1))

    def _what_happened(self, seq: int) -> str:
        is_behind = self.head is not None and seq > self.head.seq
        return "inserted: it was never sealed here" if is_behind else "changed"

    def _compare_with_marks(self, document: Stored) -> None:
        for mark, name in ((self.head, "the head"), (self.known, "the seal that you know")):
            if mark and mark.seq == document["seq"] and mark.hash != document["hash"]:
                self._say(f"seq {mark.seq}", f"changed: its hash is not that of {name}")

    def _say(self, what: str, problem: str) -> None:
        self.found.problems.append(f"{what}: {problem}")


def _range(first: int, last: int) -> str:
    return f"seq {first}" if first == last else f"seq {first} to {last}"


def _look_at_waiting(found: Findings) -> None:
    collection = store.collection(Entry)
    found.unsealed = collection.count_documents({"seq": None})
    latest = naive_now() - timedelta(seconds=PATIENCE_S)
    late: Any = {"seq": None, "at": {"$not": {"$gte": latest}}}
    for document in collection.find(late, {"at": 1}, sort=[("at", 1)]):
        found.problems.append(
            f"entry {document['_id']}: waits for its seal for more than a minute; is the service "
            "running, and what does its log say?"
        )
