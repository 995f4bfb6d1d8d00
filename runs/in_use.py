"""What a queued or running run uses, and keeps from being deleted until it has ended."""

from __future__ import annotations

from functools import partial

from bson import ObjectId

from common.documents import in_use, store
from common.documents.codecs import reference_to
from connections.models import Connection
from mappings.models import Mapping
from runs.life import LIVE
from runs.models import Run

MOST_NAMES = 10


def register() -> None:
    in_use.register(Mapping, "run", partial(live_runs, "mapping_id"))
    in_use.register(Connection, "run", partial(live_runs, "connection_id"))


def live_runs(column: str, identifier: ObjectId) -> tuple[list[str], int]:
    """Return the ids of some runs that have not ended and use a record, and how many do."""
    condition = {column: reference_to(identifier), "status": {"$in": list(LIVE)}}
    found = [str(run["_id"]) for run in store.find(Run, condition, {"_id": 1})]
    return found[:MOST_NAMES], len(found)
