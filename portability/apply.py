"""Writes a plan into the store, record by record."""

from collections.abc import Callable

from common.documents import writes
from common.exceptions import ServiceError
from mappings import rules
from portability.plan import Action, Change, Plan

Advance = Callable[[int], None]


class Interfered(Exception):
    """Others changed the store since the plan was made; what was written so far stays."""

    def __init__(self, change: Change, written: int, refusal: str) -> None:
        super().__init__(
            f'{change.kind.noun} "{change.name}": {refusal} {written} records were written before; '
            "run the command again, it goes on from there."
        )


def apply(plan: Plan, advance: Advance = lambda count: None) -> None:
    """Write every change, those first that others refer to, and the deletions last.

    Each record is written whole, in the way the API writes it. Stopped anywhere, the store is
    consistent, and the same file again finishes the rest. Raises Interfered.
    """
    for written, change in enumerate(plan.changes):
        try:
            _apply(change)
        except ServiceError as refusal:
            raise Interfered(change, written, refusal.detail) from refusal
        advance(1)


def _apply(change: Change) -> None:
    if change.action is Action.DELETE:
        change.record.delete()
    elif change.rules is None:
        change.record.save()
    else:
        _save_with_rules(change)


def _save_with_rules(change: Change) -> None:
    """Write a mapping and its rules as one step: it moves to another schema only with its rules."""

    def work() -> None:
        if change.action is Action.CHANGE:
            rules.clear(change.record.pk)
        change.record.save()
        rules.add(change.record.pk, change.rules or [])

    writes.transaction(work)
