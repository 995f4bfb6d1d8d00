"""A mapping's lineage as OpenLineage tells it: a job, its datasets, and the columns between them.

Made with OpenLineage's own classes, so that it is valid by construction. Loaded when it is asked
for: it takes half a second.
"""

from __future__ import annotations

from typing import Any

from openlineage.client.event_v2 import InputDataset, Job, JobEvent, OutputDataset
from openlineage.client.facet_v2 import column_lineage_dataset, schema_dataset
from openlineage.client.serde import Serde

from common.times import show_moment
from connections.models import Connection
from mappings.models import Mapping
from schemas.models import Schema

PRODUCER = "urn:etl-engine-backend"
NAMESPACE = "etl-engine"
SCHEMES = {"postgresql": "postgres", "mysql": "mysql"}
_KINDS = {
    "identity": ("DIRECT", "IDENTITY"),
    "expression": ("DIRECT", "TRANSFORMATION"),
    "aggregate": ("DIRECT", "AGGREGATION"),
    "window": ("DIRECT", "TRANSFORMATION"),
    "unknown": ("DIRECT", "TRANSFORMATION"),
}


def event(
    mapping: Mapping, source: Connection, target: Schema, fields: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a job event: what the mapping reads and writes, and which column becomes which."""
    facet = column_lineage_dataset.ColumnLineageDatasetFacet(
        fields={
            field["name"]: column_lineage_dataset.Fields(inputFields=inputs)
            for field in fields
            if (inputs := _inputs(field, source))
        },
        producer=PRODUCER,
    )
    columns = [
        schema_dataset.SchemaDatasetFacetFields(name=column.name, type=column.data_type)
        for column in target.columns or []
    ]
    described = schema_dataset.SchemaDatasetFacet(fields=columns, producer=PRODUCER)
    names = {
        _name(source, one)
        for field in fields
        for each in field["columns"]
        for one in each["sources"]
    }
    made = JobEvent(
        eventTime=show_moment(mapping.document.get("updated_at")),
        producer=PRODUCER,
        job=Job(namespace=NAMESPACE, name=mapping.name),
        inputs=[InputDataset(namespace=_namespace(source), name=name) for name in sorted(names)],
        outputs=[
            OutputDataset(
                namespace=NAMESPACE,
                name=getattr(mapping, "target_table", None) or target.name,
                facets={"columnLineage": facet, "schema": described},
            )
        ],
    )
    told: dict[str, Any] = Serde.to_dict(made)
    return told


def _inputs(field: dict[str, Any], source: Connection) -> list[column_lineage_dataset.InputField]:
    return [
        column_lineage_dataset.InputField(
            namespace=_namespace(source),
            name=_name(source, one),
            field=one["column"],
            transformations=[_transformation(each["transformation"])],
        )
        for each in field["columns"]
        for one in each["sources"]
    ]


def _transformation(kind: str) -> column_lineage_dataset.Transformation:
    word, subtype = _KINDS.get(kind, _KINDS["unknown"])
    return column_lineage_dataset.Transformation(type=word, subtype=subtype, description=kind)


def _namespace(source: Connection) -> str:
    scheme = SCHEMES.get(source.db_type, source.db_type or "unknown")
    return f"{scheme}://{source.host}:{source.port}"


def _name(source: Connection, one: dict[str, Any]) -> str:
    if source.db_type == "mysql":
        return ".".join([one["schema"] or source.database, one["table"]])
    parts = [source.database, one["schema"], one["table"]]
    return ".".join(part for part in parts if part)
