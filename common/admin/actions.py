"""Actions on many records: each is done by itself, and told where it was not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from common.admin.records import record_of
from common.exceptions import ServiceError, Stale

MAX_ATTEMPTS = 20
MAX_REFUSALS = 10
"""So many refusals are told; the others are counted."""


class Outcome(NamedTuple):
    """What became of a record: the sentence that refuses it, None where it was done."""

    record: Any
    refusal: str | None = None


def do_each(records: Iterable[Any], work: Callable[[Any], Any]) -> list[Outcome]:
    """Do something to each record; a refusal of one keeps it from none of the others."""
    return [Outcome(record, _refusal(work, record)) for record in records]


def _refusal(work: Callable[[Any], Any], record: Any) -> str | None:
    # Where another writer comes first it is done again, to what the record has become.
    for _ in range(MAX_ATTEMPTS):
        try:
            work(record)
        except Stale:
            record = record_of(type(record), record.pk) or record
        except ServiceError as refusal:
            if is_outage(refusal):
                raise
            return refusal.detail
        except ValidationError as refusal:
            return f'"{record}": {" ".join(refusal.messages)}'
        else:
            return None
    return Stale().detail


def report(request: HttpRequest, done: str, outcomes: Sequence[Outcome]) -> None:
    """Tell how many records something was done to, and why the others refused."""
    if not outcomes:
        return
    refusals = [outcome.refusal for outcome in outcomes if outcome.refusal]
    meta = outcomes[0].record._meta
    noun = meta.verbose_name if len(outcomes) == 1 else meta.verbose_name_plural
    told = f"{len(outcomes) - len(refusals)} of {len(outcomes)} {noun} {done}"
    add_report(request, told, refusals)


def add_report(request: HttpRequest, told: str, refusals: Sequence[str]) -> None:
    """Add a message that ends with why something refused, a warning where anything did."""
    reasons = [text.rstrip(".") for text in refusals[:MAX_REFUSALS]]
    if len(refusals) > MAX_REFUSALS:
        reasons.append(f"and {len(refusals) - MAX_REFUSALS} more")
    level = messages.WARNING if refusals else messages.SUCCESS
    messages.add_message(request, level, told + (f": {'; '.join(reasons)}." if reasons else "."))


def is_outage(refusal: Exception) -> bool:
    return getattr(refusal, "status", None) == 503
