"""Writes a plan into the store, record by record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import bson
from django.core.exceptions import ValidationError

from common.documents import store, writes
from common.documents.store import Stored
from common.exceptions import Conflict, ServiceError, Stale, StoreUnavailable
from mappings import rules
from mappings.models import Mapping, column_names
from portability.plan import Action, Change, Plan

BUSY_TIMEOUT_S = 90.0

Advance = Callable[[int], None]


class Interfered(Exception):
    """Others changed the store since the plan was made; what was written so far stays."""

    def __init__(self, change: Change, written: int, refusal: str) -> None:
        super().__init__(
            f'{change.kind.verbose_name} "{change.name}": {refusal} {written} records were written '
            "before; run the command again, it goes on from there."
        )


def apply(plan: Plan, advance: Advance = lambda count: None) -> None:
    """Write every change, those first that others refer to, and the deletions last.

    Each record is written whole, a mapping with its rules, and only while it is what the plan was
    made from. Stopped anywhere, the store is consistent, and the same file again finishes the rest.
    Raises Interfered.
    """
    for written, change in enumerate(plan.changes):
        try:
            _write_when_free(change)
        except ServiceError as refusal:
            raise Interfered(change, written, refusal.detail) from refusal
        except ValidationError as refusal:
            raise Interfered(change, written, " ".join(refusal.messages)) from refusal
        advance(1)


def _write_when_free(change: Change) -> None:
    """Write a change, however long another transaction holds its record.

    That of a process that was killed is given up by the store after a minute.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            with store.command_timeout():
                return _write(change)
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise


def _write(change: Change) -> None:
    if change.action is Action.DELETE:
        change.record.delete()
    elif change.rules is None:
        change.record.save()
    elif change.action is Action.CREATE:
        writes.transaction(lambda: _save_with_rules(change))
    else:
        rules.changing(change.record.pk, lambda mapping: _replace(change, mapping))


def _replace(change: Change, mapping: Mapping) -> None:
    """Write a mapping and its rules. Raises Stale where either is not what the plan was made from.

    That is seen before anything is written: a server without transactions undoes nothing.
    """
    if not _is_same([change.record.document], [mapping.document], without=mapping.kept):
        raise Stale
    if not _is_same(change.stored_rules, rules.stored_rules(mapping.pk)):
        raise Stale
    rules.clear(mapping.pk)
    _save_with_rules(change)


def _save_with_rules(change: Change) -> None:
    change.record.save()
    _refuse_unknown_fields(change)
    rules.add(change.rules or [])


def _refuse_unknown_fields(change: Change) -> None:
    """Raise Conflict where the schema has lost a column since the rules were checked."""
    fields = {field for rule in change.rules or [] for field in rule.target_fields}
    record: Any = change.record
    if lacking := sorted(fields - column_names(record.target_schema_id)):
        raise Conflict(f"The target schema has lost {', '.join(lacking)}.")


def _is_same(
    before: Sequence[Stored], after: Sequence[Stored], without: frozenset[str] = frozenset()
) -> bool:
    """Tell whether documents are byte for byte what they were; their order does not matter."""
    return _encoded(before, without) == _encoded(after, without)


def _encoded(documents: Sequence[Stored], without: frozenset[str]) -> list[bytes]:
    return sorted(
        bson.encode({key: value for key, value in document.items() if key not in without})
        for document in documents
    )
