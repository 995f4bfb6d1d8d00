"""A mapping's lineage as OpenLineage tells it: a job, its datasets, and the columns between them.

Made with OpenLineage's own classes, so that it is valid by construction; datasets are named by its
naming rules. Loaded when it is asked for: it takes half a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping as Dict, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bson import ObjectId
from django.conf import settings
from openlineage.client.event_v2 import InputDataset, Job, JobEvent, OutputDataset
from openlineage.client.facet_v2 import column_lineage_dataset, schema_dataset
from openlineage.client.serde import Serde

from common.documents import store
from common.times import show_moment
from connections.models import Connection
from mappings.models import Mapping
from mappings.tables import default_name
from schemas.models import Schema
from targets import places
from targets.models import Target, TargetKind, default_target

PRODUCER = "urn:etl-engine-backend"
SCHEMES = {"postgresql": "postgres", "mysql": "mysql"}
_KINDS = {
    "identity": ("DIRECT", "IDENTITY"),
    "expression": ("DIRECT", "TRANSFORMATION"),
    "aggregate": ("DIRECT", "AGGREGATION"),
    "window": ("DIRECT", "TRANSFORMATION"),
    "unknown": ("DIRECT", "TRANSFORMATION"),
}


class DatasetName(NamedTuple):
    """How a dataset is known to OpenLineage."""

    namespace: str
    name: str


def event(
    mapping: Mapping, source: Connection, schema: Schema, fields: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a job event: what the mapping reads and writes, and which column becomes which."""
    table = mapping.target_table or default_name(str(schema.name or ""))
    written = target_name(mapping.target_id, table)
    columns = [(column.name, column.data_type) for column in schema.columns or []]
    made = JobEvent(
        eventTime=show_moment(mapping.document.get("updated_at")),
        producer=PRODUCER,
        job=Job(namespace=settings.OPENLINEAGE_NAMESPACE, name=mapping.name),
        inputs=inputs_of(source, fields),
        outputs=[output_of(written, columns, source, fields)],
    )
    told: dict[str, Any] = Serde.to_dict(made)
    return told


def inputs_of(source: Connection, fields: Iterable[Dict[str, Any]]) -> list[InputDataset]:
    """Return the tables whose columns flow into the fields of a mapping's lineage."""
    names = {
        source_name(source, one)
        for field in fields
        for each in field["columns"]
        for one in each["sources"]
    }
    return [InputDataset(namespace=one.namespace, name=one.name) for one in sorted(names)]


def output_of(
    written: DatasetName,
    columns: Iterable[tuple[str, str]],
    source: Connection,
    fields: Sequence[Dict[str, Any]],
) -> OutputDataset:
    """Return the table that is written: its columns, name and type, and where they come from."""
    lineage = column_lineage_dataset.ColumnLineageDatasetFacet(
        fields={
            field["name"]: column_lineage_dataset.Fields(inputFields=inputs)
            for field in fields
            if (inputs := _input_fields(field, source))
        },
        producer=PRODUCER,
    )
    described = schema_dataset.SchemaDatasetFacet(
        fields=[
            schema_dataset.SchemaDatasetFacetFields(name=name, type=data_type)
            for name, data_type in columns
        ],
        producer=PRODUCER,
    )
    return OutputDataset(
        namespace=written.namespace,
        name=written.name,
        facets={"columnLineage": lineage, "schema": described},
    )


def _input_fields(
    field: Dict[str, Any], source: Connection
) -> list[column_lineage_dataset.InputField]:
    found = []
    for each in field["columns"]:
        for one in each["sources"]:
            namespace, name = source_name(source, one)
            found.append(
                column_lineage_dataset.InputField(
                    namespace=namespace,
                    name=name,
                    field=one["column"],
                    transformations=[_transformation(each["transformation"])],
                )
            )
    return found


def _transformation(kind: str) -> column_lineage_dataset.Transformation:
    word, subtype = _KINDS.get(kind, _KINDS["unknown"])
    return column_lineage_dataset.Transformation(type=word, subtype=subtype, description=kind)


# --- Names ----------------------------------------------------------------------------------------


def source_name(source: Connection, column: Dict[str, Any]) -> DatasetName:
    """Return how the table of a lineage's source column is known."""
    return _table_name(source, column["schema"], column["table"])


def target_name(target_id: ObjectId | None, table: str) -> DatasetName:
    """Return how a table of a target is known; None is the default target."""
    target = default_target()
    if found := store.find_one(Target, {"_id": target_id}) if target_id else None:
        target = Target.from_document(found)
    if target.kind != TargetKind.DELTA:
        connection = store.find_one(Connection, {"_id": target.connection_id}) or {}
        return _table_name(Connection.from_document(connection), target.db_schema, table)
    uri = target.uri or ""
    if not places.is_bucket(uri):
        return DatasetName("file", f"{places.resolved(uri) or uri}/{table}")
    place = urlsplit(uri)
    return DatasetName(f"{place.scheme}://{place.netloc}", f"{place.path}/{table}".strip("/"))


def _table_name(connection: Connection, schema: str | None, table: str) -> DatasetName:
    """Return the name of a table: with its schema, as far as that is known."""
    scheme = SCHEMES.get(connection.db_type, connection.db_type or "unknown")
    host = f"[{connection.host}]" if ":" in (connection.host or "") else connection.host
    parts = [connection.database, schema, table]
    if connection.db_type == "mysql":
        parts = [schema or connection.database, table]
    return DatasetName(
        f"{scheme}://{host}:{connection.port}", ".".join(part for part in parts if part)
    )
