"""What `check --database default` says about stored mappings."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Warning

from common.checks import MAX_LISTED, listed, store_check
from common.documents import store
from common.documents.names import printable
from common.documents.references import identifier_of
from mappings.models import ColumnMapping, Mapping
from mappings.rules import MAX_RULES


@store_check
def sets_over_the_limit() -> Iterator[CheckMessage]:
    """Name the mappings that have more rules than one may be given today."""
    counted = store.collection(ColumnMapping).aggregate(
        [
            {"$group": {"_id": "$mapping_id", "rules": {"$sum": 1}}},
            {"$match": {"rules": {"$gt": MAX_RULES}}},
            {"$sort": {"rules": -1}},
            {"$limit": MAX_LISTED},
        ]
    )
    if found := [f"{_named(one['_id'])} has {one['rules']:,}" for one in counted]:
        yield Warning(
            f"Mappings have at most {MAX_RULES:,} column mappings today: {listed(found)}.",
            hint="They work as before; a set that is sent anew must be smaller.",
            id="mappings.W001",
        )


def _named(reference: object) -> str:
    found = store.find_one(Mapping, {"_id": identifier_of(reference)}, {"name": 1}) or {}
    return f'"{printable(str(found.get("name")))}" ({reference})'
