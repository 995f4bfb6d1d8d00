"""What a queryset asks for, asked with `find`.

The ORM sorts in an aggregation, behind a stage that keeps MongoDB from using an index: it would
sort the whole collection for every page of a list.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from bson import ObjectId
from django.core.exceptions import EmptyResultSet
from django.db import models

from common.documents import store
from common.documents.store import Stored

NOTHING: Stored = {"_id": {"$in": []}}
PLAIN_STAGES = {"$match", "$sort", "$skip", "$limit"}


class Query(NamedTuple):
    """A queryset in the terms of `find`; `limit` 0 is none."""

    model: type[models.Model]
    condition: Stored
    order: list[tuple[str, int]]
    skip: int
    limit: int

    def documents(self, *fields: str) -> list[Stored]:
        """Return the documents in order, whole or only some `fields`."""
        found = store.find(
            self.model,
            self.condition,
            dict.fromkeys(fields, 1) or None,
            sort=self.order or None,
            skip=self.skip,
            limit=self.limit,
        )
        return list(found)

    def identifiers(self) -> list[ObjectId]:
        return [document["_id"] for document in self.documents("_id")]

    def is_search(self) -> bool:
        """Tell whether texts are searched: no index answers that."""
        return "$regex" in repr(self.condition)


def query_of(queryset: models.QuerySet[Any]) -> Query:
    """Return what a queryset asks for. Raises ValueError where `find` cannot do that."""
    compiler = queryset.query.get_compiler(queryset.db)
    compiler.pre_sql_setup()
    try:
        pipeline = compiler.build_query(None).get_pipeline()
    except EmptyResultSet:
        pipeline = [{"$match": NOTHING}]
    pipeline = [stage for stage in pipeline if not _changes_nothing(stage)]
    stages = {name: content for stage in pipeline for name, content in stage.items()}
    if len(stages) < len(pipeline) or not stages.keys() <= PLAIN_STAGES:
        raise ValueError(f"The queryset asks for more than `find` can do: {', '.join(stages)}.")
    return Query(
        queryset.model,
        _simplified(stages.get("$match", {})),
        list(stages.get("$sort", {}).items()),
        stages.get("$skip", 0),
        stages.get("$limit", 0),
    )


def _changes_nothing(stage: Stored) -> bool:
    """Tell whether a stage sets fields to what they are."""
    return all(f"${name}" == value for name, value in stage.get("$addFields", {0: 0}).items())


def _simplified(condition: Stored) -> Stored:
    """Return a condition as an index answers it.

    The ORM asks for null in two alternatives; equal to null is a field that is missing, too.
    """
    match condition:
        case {"$or": [missing, null], **rest} if not rest and list(null.values()) == [None]:
            if missing == {name: {"$exists": False} for name in null}:
                return cast(Stored, null)
    return condition
