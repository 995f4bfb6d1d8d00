"""From which columns of a source the fields of a target come: through the query and its rules.

A query is read once and kept by its content; what is not known is said to be not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping as Dict, Sequence
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from common.documents import store
from common.documents.codecs import reference_to
from common.documents.store import Stored
from connections.models import Connection
from lineage import asking
from lineage.asking import NoLineage
from mappings import proof
from mappings.models import LINEAGES, ColumnMapping, Mapping, texts
from mappings.source import DIALECTS
from schemas.models import Schema

KINDS = ("constant", "identity", "expression", "aggregate", "window", "unknown")
BATCH = 500

Column = dict[str, Any]
"""A query's column: `name`, `transformation`, `sources` and `indirect`, each [schema, table,
column]."""


# --- One mapping ----------------------------------------------------------------------------------


def fields_of(mapping: Mapping, rules: Sequence[ColumnMapping], indirect: bool) -> dict[str, Any]:
    """Return the lineage of a mapping's target fields, in the schema's order.

    `message` says why it is not known, where it is not.
    """
    read = _read([mapping])[mapping.pk]
    return {
        "fields": _fields(mapping, rules, read["columns"], indirect),
        "message": read["message"],
    }


def _fields(
    mapping: Mapping, rules: Sequence[ColumnMapping], columns: Sequence[Column], indirect: bool
) -> list[dict[str, Any]]:
    known = _by_name(columns)
    writers = {field: rule for rule in rules for field in texts(rule.target_fields)}
    names = [*proof.types_of(mapping)]
    names += [field for field in writers if field not in names]
    return [
        {
            "name": name,
            "rule_id": str(writers[name].pk) if name in writers else None,
            "columns": [
                _shown(known.get(column) or _unknown(column), indirect)
                for column in (texts(writers[name].source_columns) if name in writers else [])
            ],
        }
        for name in names
    ]


def _by_name(columns: Sequence[Column]) -> dict[str, Column]:
    """Return a query's columns by name; one that comes twice means neither."""
    found: dict[str, Column] = {}
    for column in columns:
        name = column["name"]
        found[name] = _unknown(name) if name in found else column
    return found


def _unknown(name: str) -> Column:
    return {"name": name, "transformation": "unknown", "sources": [], "indirect": []}


def _shown(column: Column, indirect: bool) -> dict[str, Any]:
    sources = [*column["sources"], *(column["indirect"] if indirect else [])]
    return {
        "name": column["name"],
        "sources": [as_source(one) for one in sources],
        "transformation": column["transformation"],
    }


def as_source(source: Sequence[Any]) -> dict[str, Any]:
    schema, table, column = source
    return {"schema": schema, "table": table, "column": column}


# --- Many mappings --------------------------------------------------------------------------------


def into_schema(schema_id: ObjectId, column: str | None) -> list[dict[str, Any]]:
    """Return what feeds the fields of a schema, or the one `column`, mapping by mapping."""
    found = []
    for mapping, fields in of_all({"target_schema_id": reference_to(schema_id)}):
        for field in fields:
            if field["rule_id"] is None or column not in (None, field["name"]):
                continue
            sources = [one for each in field["columns"] for one in each["sources"]]
            found.append(
                {
                    "mapping_id": str(mapping.pk),
                    "mapping_name": mapping.name,
                    "field": field["name"],
                    "sources": [one for n, one in enumerate(sources) if one not in sources[:n]],
                }
            )
    return found


def out_of_connection(
    connection_id: ObjectId, table: str | None, column: str | None
) -> list[dict[str, Any]]:
    """Return the fields into which a table, or a column, of a connection flows.

    `table` is a name, or `schema.name`.
    """
    found = []
    for mapping, fields in of_all({"source_connection_id": reference_to(connection_id)}):
        for field in fields:
            kinds = [
                each["transformation"]
                for each in field["columns"]
                if any(is_meant(one, table, column) for one in each["sources"])
            ]
            if kinds:
                found.append(
                    {
                        "mapping_id": str(mapping.pk),
                        "mapping_name": mapping.name,
                        "schema_id": str(mapping.target_schema_id),
                        "field": field["name"],
                        "transformation": max(kinds, key=KINDS.index),
                    }
                )
    return found


def is_meant(source: Dict[str, Any], table: str | None, column: str | None) -> bool:
    whole = f"{source['schema']}.{source['table']}"
    is_table = table in (None, source["table"], whole) or (
        source["schema"] is None and table is not None and table.endswith(f".{source['table']}")
    )
    return is_table and column in (None, source["column"])


def of_all(condition: Stored) -> Iterator[tuple[Mapping, list[dict[str, Any]]]]:
    mappings = [Mapping.from_document(one) for one in store.find(Mapping, condition)]
    mappings.sort(key=lambda mapping: (str(mapping.name), str(mapping.pk)))
    for start in range(0, len(mappings), BATCH):
        batch = mappings[start : start + BATCH]
        read, rules = _read(batch), _rules_of(batch)
        for mapping in batch:
            columns = read[mapping.pk]["columns"]
            yield mapping, _fields(mapping, rules.get(mapping.pk, []), columns, indirect=False)


def _rules_of(mappings: Iterable[Mapping]) -> dict[ObjectId, list[ColumnMapping]]:
    identifiers = [mapping.pk for mapping in mappings]
    found: dict[ObjectId, list[ColumnMapping]] = {}
    for document in store.find(ColumnMapping, {"mapping_id": reference_to(*identifiers)}):
        rule = ColumnMapping.from_document(document)
        found.setdefault(rule.mapping_id, []).append(rule)
    return found


# --- Queries that were read -----------------------------------------------------------------------


def _read(mappings: Sequence[Mapping]) -> dict[ObjectId, Stored]:
    """Return `columns` and `message` of each mapping's query; what was read before is kept."""
    kept = store.named(LINEAGES)
    identifiers = [mapping.pk for mapping in mappings]
    known = {one["_id"]: one for one in kept.find({"_id": {"$in": identifiers}})}
    kinds = _kinds_of(mappings)
    new = []
    for mapping in mappings:
        kind = kinds.get(mapping.source_connection_id, "")
        content = _content(mapping, kind)
        if known.get(mapping.pk, {}).get("of") != content:
            known[mapping.pk] = {"_id": mapping.pk, "of": content, **_told(mapping, kind)}
            new.append(UpdateOne({"_id": mapping.pk}, {"$set": known[mapping.pk]}, upsert=True))
    if new:
        kept.bulk_write(new, ordered=False)
    return known


def _kinds_of(mappings: Iterable[Mapping]) -> dict[ObjectId, str]:
    identifiers = list({mapping.source_connection_id for mapping in mappings})
    found = store.find(Connection, {"_id": {"$in": identifiers}}, {"db_type": 1})
    return {one["_id"]: str(one.get("db_type")) for one in found}


def _content(mapping: Mapping, kind: str) -> str:
    """Return what stands for all that the lineage of a query is made of."""
    described = proof.description_of(mapping)
    tables = [
        (one.schema, one.name, tuple(one.columns))
        for one in (described.tables if described else ())
    ]
    names = [one.name for one in described.columns] if described else None
    path = tuple(described.search_path) if described else ()
    content = repr((kind, mapping.source_query, tables, names, path))
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()


def _told(mapping: Mapping, kind: str) -> Stored:
    described = proof.description_of(mapping)
    names = [one.name for one in described.columns] if described else None
    tables: dict[str, dict[str, list[str]]] = {}
    for one in described.tables if described else ():
        tables.setdefault(one.schema, {})[one.name] = [*one.columns]
    try:
        if kind not in DIALECTS:
            raise NoLineage("The connection is of no kind whose queries can be read.")
        path = [*described.search_path] if described else []
        columns = asking.columns_of(mapping.source_query, DIALECTS[kind], tables, path, names)
    except NoLineage as unknown:
        return {"columns": [_unknown(name) for name in names or ()], "message": unknown.message}
    return {"columns": columns, "message": None}


# --- OpenLineage ----------------------------------------------------------------------------------


def connection_and_schema(mapping: Mapping) -> tuple[Connection, Schema]:
    """Return the records that a mapping refers to; empty ones where they are gone."""
    source = store.find_one(Connection, {"_id": mapping.source_connection_id}) or {}
    target = store.find_one(Schema, {"_id": mapping.target_schema_id}) or {}
    return Connection.from_document(source), Schema.from_document(target)
