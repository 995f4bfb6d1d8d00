"""The set of column mappings that hangs on one mapping: added to, replaced and cleared whole.

Every change is one transaction that also writes what stands for the mapping, so that of two clients
one comes after the other and sees what the first wrote; a unique index on (mapping, target field)
holds against other programs. A trail has one entry of it, what the set was and what it is. Without
transactions a crash in the middle leaves the mapping with fewer rules than were sent; the same
request again mends it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from bson import ObjectId
from django.core.exceptions import ValidationError
from pymongo.errors import BulkWriteError, DuplicateKeyError

from common.documents import store, trail, writes
from common.documents.codecs import reference_to
from common.documents.references import identifier_of
from common.documents.store import Stored
from common.documents.trail import Entry
from common.documents.writes import Change
from common.exceptions import NotFound
from mappings.models import ColumnMapping, Mapping, targets_of, written_twice

T = TypeVar("T")

MAX_RULES = 1000


def changing(mapping_id: ObjectId, work: Callable[[Mapping], T]) -> T:
    """Return `work(mapping)`, run as one transaction in which nobody else changes its rules.

    Raises NotFound where there is no such mapping.
    """

    def held() -> T:
        writes.hold(Mapping, mapping_id)
        found = store.find_one(Mapping, {"_id": mapping_id})
        if found is None:
            raise NotFound(f"There is no mapping with the id {mapping_id}.")
        return work(Mapping.from_document(found))

    return writes.transaction(held)


def add(mapping_id: ObjectId, rules: Sequence[ColumnMapping]) -> None:
    """Store several checked rules of one mapping, in their order."""
    _write_set(mapping_id, stored_rules(mapping_id), [], rules)


def add_one(rule: ColumnMapping) -> None:
    """Store a checked rule that was sent alone."""
    _write([], [rule])


def replace(mapping_id: ObjectId, rules: Sequence[ColumnMapping]) -> None:
    """Make `rules` the whole set of a mapping."""
    stored = stored_rules(mapping_id)
    _write_set(mapping_id, stored, stored, rules)


def clear(mapping_id: ObjectId) -> None:
    """Remove every rule of a mapping."""
    replace(mapping_id, [])


def change(
    mapping_id: ObjectId,
    removed: Sequence[ColumnMapping],
    changed: Sequence[ColumnMapping],
    added: Sequence[ColumnMapping],
) -> None:
    """Remove, change and add rules of a mapping as one step, so that two may swap their fields.

    Every rule that stays keeps its id and its place.

    Raises Stale where one of them is no longer what was loaded, ValidationError where a rule no
    longer fits its schema or the others.
    """
    gone, written = [*removed, *changed], [*changed, *added]

    def work(mapping: Mapping) -> None:
        _refuse_misfits(mapping_id, gone, written)
        documents = [rule.document for rule in gone]
        _write_set(mapping_id, stored_rules(mapping_id), documents, written)

    if gone or written:
        changing(mapping_id, work)


def stored_rules(mapping_id: ObjectId) -> list[Stored]:
    """Return the documents of a mapping's rules, in the order they were added."""
    return rules_by_mapping([mapping_id]).get(mapping_id, [])


def rules_by_mapping(mapping_ids: Iterable[ObjectId] | None = None) -> dict[ObjectId, list[Stored]]:
    """Return the documents of the rules that these mappings have, or all, in that order."""
    condition = {} if mapping_ids is None else {"mapping_id": reference_to(*mapping_ids)}
    found: dict[ObjectId, list[Stored]] = {}
    for rule in store.find(ColumnMapping, condition, sort=[("created_at", 1), ("_id", 1)]):
        if mapping_id := identifier_of(rule.get("mapping_id")):
            found.setdefault(mapping_id, []).append(rule)
    return found


def in_order(mapping_id: ObjectId) -> list[ColumnMapping]:
    """Return the rules of a mapping, in the order they were added."""
    return [ColumnMapping.from_document(document) for document in stored_rules(mapping_id)]


def _refuse_misfits(
    mapping_id: ObjectId, gone: Sequence[ColumnMapping], written: Sequence[ColumnMapping]
) -> None:
    targets = targets_of(mapping_id)
    for rule in gone:
        for field in rule.document.get("target_fields") or []:
            targets.written.pop(field, None)
    for rule in written:
        if sentences := [sentence for _, sentence in targets.problems(rule.target_fields)]:
            raise ValidationError({"target_fields": sentences})
        targets.take(rule.target_fields, f"the {rule.type} rule {rule.pk}")


def _write_set(
    mapping_id: ObjectId,
    stored: Sequence[Stored],
    gone: Sequence[Stored],
    rules: Sequence[ColumnMapping],
) -> None:
    """Write a change of the `stored` rules of a mapping, which a trail is told as one."""

    def entry() -> Entry | None:
        before, after = _shown(stored), _shown(stored_rules(mapping_id))
        if before == after:
            return None
        mapping = store.find_one(Mapping, {"_id": mapping_id}, {"name": 1}) or {}
        kind, name = ColumnMapping._meta.db_table, mapping.get("name")
        changes = {ColumnMapping.set_name: [before, after]}
        return Entry("update", kind, mapping_id, name, changes, of_set=True)

    _write(gone, rules, entry)


def _shown(documents: Sequence[Stored]) -> list[dict[str, Any]]:
    return [trail.shown(ColumnMapping, document) for document in documents]


def _write(
    gone: Sequence[Stored],
    rules: Sequence[ColumnMapping],
    entry: Callable[[], Entry | None] | None = None,
) -> None:
    """Remove some documents and insert the rules; one that changes is removed and inserted."""
    documents = [rule.document_to_insert() for rule in rules]
    changes = [Change(ColumnMapping, document, None) for document in gone]
    changes += [Change(ColumnMapping, None, document) for document in documents]
    try:
        writes.apply(*changes, entry=entry)
    except (BulkWriteError, DuplicateKeyError) as failure:
        raise _refusal(failure) from failure
    writes.after_commit(lambda: _note(rules, documents))


def _note(rules: Sequence[ColumnMapping], documents: Sequence[Stored]) -> None:
    for rule, document in zip(rules, documents, strict=True):
        rule.is_now(document)


def _refusal(failure: BulkWriteError | DuplicateKeyError) -> Exception:
    if isinstance(failure, DuplicateKeyError):
        return ValidationError({"0.target_fields": written_twice().messages})
    errors = (failure.details or {}).get("writeErrors") or []
    if errors and errors[0].get("code") == store.DUPLICATE_KEY:
        return ValidationError({f"{errors[0]['index']}.target_fields": written_twice().messages})
    return failure
