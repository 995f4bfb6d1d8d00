"""Pages of lineage in the admin: of a mapping, into the columns of a schema, out of a source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from bson import ObjectId
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.safestring import mark_safe

from common.documents import store
from common.documents.codecs import reference_to
from connections.models import Connection
from mappings import lineage, rules
from mappings.flow_picture import Group, Line, Row, draw
from mappings.models import Mapping
from schemas.evolution import stored_columns
from schemas.models import Schema

MOST_ROWS = 1000
"""Flows that a page shows; of more it shows the first, and says so."""

NOTES = {"unknown": "not known", "constant": "constant"}


SourceColumn = tuple[str | None, str, str]
"""Schema, as far as it is known, table and column."""


@dataclass(frozen=True)
class Flow:
    """What flows into a field of a mapping; `source` is None where nothing, or nothing known, does.

    `kind` is a transformation of lineage, or `unmapped`.
    """

    mapping: Mapping
    field: str
    kind: str
    source: SourceColumn | None = None

    @property
    def table(self) -> str:
        schema, table, _ = self.source or (None, "", "")
        return f"{schema}.{table}" if schema else table


# --- The three pages ------------------------------------------------------------------------------


def of_mapping(object_id: str) -> dict[str, Any]:
    """Return what the page of a mapping's lineage shows. Raises Http404."""
    mapping = Mapping.from_document(_found(Mapping, object_id))
    told = lineage.fields_of(mapping, rules.in_order(mapping.pk), indirect=False)
    flows = flows_of(mapping, told["fields"])
    targets = [Group(_schema_name(mapping), _field_rows(flows), _page("schema", mapping))]
    return {
        "title": f"Lineage of {mapping.name}",
        "message": told["message"],
        "back": reverse("admin:mappings_mapping_change", args=[mapping.pk]),
        **_shown(flows, targets),
    }


def into_schema(schema_id: str, column: str | None) -> dict[str, Any]:
    """Return what feeds a schema, or one column of it, through all mappings. Raises Http404."""
    found = _found(Schema, schema_id)
    names = [str(one["name"]) for one in stored_columns(found)]
    flows = [
        flow
        for mapping, fields in lineage.of_all({"target_schema_id": reference_to(found["_id"])})
        for flow in flows_of(mapping, fields)
        if flow.kind != "unmapped" and column in (None, flow.field)
    ]
    address = reverse("admin:mappings_lineage_schema", args=[schema_id])
    return {
        "title": f"What feeds {found.get('name')}" + (f".{column}" if column else ""),
        "columns": [(name, f"{address}?{urlencode({'column': name})}") for name in names],
        "column": column,
        "every": address,
        "back": reverse("admin:schemas_schema_change", args=[schema_id]),
        **_shown(flows, _by_mapping(flows)),
    }


def out_of_connection(connection_id: str, table: str | None, column: str | None) -> dict[str, Any]:
    """Return where a table, or a column, of a source flows to. Raises Http404."""
    found = _found(Connection, connection_id)
    condition = {"source_connection_id": reference_to(found["_id"])}
    flows = [
        flow
        for mapping, fields in lineage.of_all(condition)
        for flow in flows_of(mapping, fields)
        if flow.source and lineage.is_meant(lineage.as_source(flow.source), table, column)
    ]
    what = ".".join(part for part in (table, column) if part)
    return {
        "title": f"Where {what or found.get('name')} flows to",
        "back": reverse("admin:connections_connection_change", args=[connection_id]),
        **_shown(flows, _by_mapping(flows)),
    }


def _found(model: Any, identifier: str) -> dict[str, Any]:
    found = None
    if ObjectId.is_valid(identifier):
        found = store.find_one(model, {"_id": ObjectId(identifier)})
    if found is None:
        raise Http404
    return dict(found)


def given(request: HttpRequest, name: str) -> str | None:
    return request.GET.get(name) or None


# --- Flows ----------------------------------------------------------------------------------------


def flows_of(mapping: Mapping, fields: Iterable[dict[str, Any]]) -> list[Flow]:
    """Return the flows into the fields of a mapping: one of each source, by its highest kind."""
    found: list[Flow] = []
    for field in fields:
        kinds: dict[SourceColumn | None, str] = {}
        for column in field["columns"]:
            sources: list[SourceColumn | None] = [
                (one["schema"], one["table"], one["column"]) for one in column["sources"]
            ]
            for source in sources or [None]:
                kinds[source] = max(
                    kinds.get(source, "constant"), column["transformation"], key=lineage.KINDS.index
                )
        found += [Flow(mapping, field["name"], kind, source) for source, kind in kinds.items()]
        if not kinds:
            found.append(Flow(mapping, field["name"], "unmapped"))
    return found


def _shown(flows: Sequence[Flow], targets: Sequence[Group]) -> dict[str, Any]:
    """Return the picture of flows, and the same as rows of a table."""
    lines = [
        Line((flow.mapping.source_connection_id, flow.source), _key(flow), flow.kind)
        for flow in flows
        if flow.source
    ]
    picture = draw(_source_groups(flows), targets, lines) if len(flows) <= MOST_ROWS else ""
    return {
        "picture": mark_safe(picture),  # noqa: S308 - the picture escapes every text
        "rows": [_table_row(flow) for flow in flows[:MOST_ROWS]],
        "left_out": max(len(flows) - MOST_ROWS, 0),
    }


def _key(flow: Flow) -> tuple[Any, str]:
    return flow.mapping.pk, flow.field


def _source_groups(flows: Sequence[Flow]) -> list[Group]:
    tables: dict[tuple[Any, str], dict[object, Row]] = {}
    for flow in flows:
        if flow.source:
            connection = flow.mapping.source_connection_id
            row = Row(flow.source[2], href=_source_page(flow, flow.source[2]))
            rows = tables.setdefault((connection, flow.table), {})
            rows[(connection, flow.source)] = row
    return [
        Group(table, rows, _page_of_table(connection, table))
        for (connection, table), rows in sorted(tables.items(), key=str)
    ]


def _by_mapping(flows: Sequence[Flow]) -> list[Group]:
    mappings = {flow.mapping.pk: flow.mapping for flow in flows}
    return [
        Group(
            str(mapping.name),
            _field_rows([flow for flow in flows if flow.mapping.pk == pk]),
            reverse("admin:mappings_mapping_lineage", args=[pk]),
        )
        for pk, mapping in mappings.items()
    ]


def _field_rows(flows: Sequence[Flow]) -> dict[object, Row]:
    kinds: dict[object, list[str]] = {}
    for flow in flows:
        kinds.setdefault(_key(flow), []).append(flow.kind)
    fields = {_key(flow): flow for flow in flows}
    return {key: _field_row(flow, kinds[key]) for key, flow in fields.items()}


def _field_row(flow: Flow, kinds: Sequence[str]) -> Row:
    note = max(kinds, key=[*lineage.KINDS, "unmapped"].index)
    return Row(flow.field, NOTES.get(note, note), _page("schema", flow.mapping, column=flow.field))


def _table_row(flow: Flow) -> dict[str, Any]:
    return {
        "mapping": flow.mapping,
        "mapping_page": reverse("admin:mappings_mapping_lineage", args=[flow.mapping.pk]),
        "field": flow.field,
        "field_page": _page("schema", flow.mapping, column=flow.field),
        "kind": NOTES.get(flow.kind, flow.kind),
        "table": flow.table,
        "column": flow.source[2] if flow.source else "",
        "column_page": _source_page(flow, flow.source[2]) if flow.source else None,
    }


def _source_page(flow: Flow, column: str) -> str:
    return _page_of_table(flow.mapping.source_connection_id, flow.table, column=column)


def _page_of_table(connection: Any, table: str, **more: str) -> str:
    address = reverse("admin:mappings_lineage_connection", args=[connection])
    return f"{address}?{urlencode({'table': table, **more})}"


def _page(what: str, mapping: Mapping, **asked: str) -> str:
    address = reverse(f"admin:mappings_lineage_{what}", args=[mapping.target_schema_id])
    return f"{address}?{urlencode(asked)}" if asked else address


def _schema_name(mapping: Mapping) -> str:
    found = store.find_one(Schema, {"_id": mapping.target_schema_id}, {"name": 1}) or {}
    return str(found.get("name", "missing"))
