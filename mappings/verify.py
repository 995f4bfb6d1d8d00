"""Ask a stored mapping's source whether the mapping can run, and note the answer on it."""

from __future__ import annotations

from collections.abc import Iterable

from bson import ObjectId
from django.conf import settings

from common.documents import store, writes
from common.documents.codecs import record_codec
from common.exceptions import NotFound, Stale
from mappings import rules, source
from mappings.models import ColumnMapping, Mapping, Verification, VerificationStatus
from mappings.proof import DRIFT, Proof, description_of, problems_left, prove
from mappings.source import Answer

ATTEMPTS = 10
BUSY = "busy"


def verify(mapping_id: ObjectId, timeout_s: float | None = None) -> Verification:
    """Return how a stored mapping stands to its source now, compared with the last save.

    It is noted on the mapping, which is no change of it. A source that is down, does not answer
    within `timeout_s` (the time of a preview unless told), or has no place free, makes it
    `unverified`; the latter is not noted.

    Raises NotFound where there is no such mapping, Stale where it never stops changing.
    """
    for _ in range(ATTEMPTS):
        mapping = loaded(mapping_id)
        answer = source.ask(
            mapping.source_connection_id,
            mapping.source_query,
            timeout_s=timeout_s or settings.PREVIEW_TIMEOUT_S,
            patient=True,
            # They belong to a description, and one that is there stays.
            tables=description_of(mapping) is None,
        )
        proof = prove(mapping, rules.in_order(mapping_id), answer, is_save=False)
        if answer.code == BUSY or keep(mapping, proof):
            return proof.verification
    raise Stale


def loaded(mapping_id: ObjectId) -> Mapping:
    """Return a stored mapping. Raises NotFound."""
    found = store.find_one(Mapping, {"_id": mapping_id})
    if found is None:
        raise NotFound(f"There is no mapping with the id {mapping_id}.")
    return Mapping.from_document(found)


def keep(mapping: Mapping, proof: Proof) -> bool:
    """Note a proof on a stored mapping, while that is what was proven; tell whether it was."""
    proof.note_on(mapping)
    codec = record_codec(Mapping)
    values = {column: codec.stored_as(mapping, column) for column in mapping.kept}
    return writes.keep(Mapping, writes.unchanged(mapping.document, mapping.kept), values)


def note_rules(mapping_id: ObjectId, answer: Answer) -> None:
    """Note on a mapping what its source's answer means for the rules that it has now."""
    mapping = loaded(mapping_id)
    keep(mapping, prove(mapping, rules.in_order(mapping_id), answer))


def note_gone(mapping_id: ObjectId, stay: Iterable[ColumnMapping]) -> None:
    """Note on a mapping what the rules that are gone leave of its problems; nobody is asked."""
    mapping = loaded(mapping_id)
    before = mapping.verification
    left = problems_left(mapping, [*stay])
    if left == (before.problems or []):
        return
    before.problems = left
    if not left:
        before.status = VerificationStatus.VERIFIED.value
    elif all(one.code in DRIFT for one in left):
        before.status = VerificationStatus.DRIFTED.value
    elif before.status != VerificationStatus.UNVERIFIED:
        before.status = VerificationStatus.BROKEN.value
    codec = record_codec(Mapping)
    writes.keep(
        Mapping,
        writes.unchanged(mapping.document, mapping.kept),
        {"verification": codec.stored_as(mapping, "verification")},
    )
