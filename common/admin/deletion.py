"""What deleting records would mean, for the pages that ask whether to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from django.db import models

from common.admin.records import count_users
from common.documents.models import Document, target
from common.exceptions import InUse


@dataclass
class Deletion:
    """A record to be deleted: what goes with it, and what keeps it from being deleted."""

    record: Document
    dependents: list[str] = field(default_factory=list)
    refusal: str = ""

    def __str__(self) -> str:
        more = f", and with it {' and '.join(self.dependents)}" if self.dependents else ""
        return f'"{self.record}"{more}'


def deletions_of(records: Sequence[Any]) -> list[Deletion]:
    """Return what deleting each of some records of one model would mean."""
    found = [Deletion(record) for record in records]
    for relation, users in _users(records):
        for deletion in found:
            if not (count := users.get(deletion.record.pk)):
                continue
            if relation.on_delete is models.PROTECT:
                deletion.refusal = _refusal(deletion.record)
            else:
                deletion.dependents.append(_counted(relation, count))
    return found


def _users(records: Sequence[Any]) -> Iterator[tuple[Any, dict[ObjectId, int]]]:
    identifiers = [record.pk for record in records]
    for relation in records[0]._meta.related_objects if records else ():
        yield relation, count_users(relation, identifiers)


def _refusal(record: Document) -> str:
    try:
        record.refuse_if_used()
    except InUse as refusal:
        return refusal.detail
    return ""


def _counted(relation: Any, count: int) -> str:
    meta = target(relation)._meta
    return f"{count} {meta.verbose_name if count == 1 else meta.verbose_name_plural}"
