"""Runs as OpenLineage tells them: that one began, and how it ended; see docs/lineage.md.

An event is made of what the run keeps: its plan, and the connection and target as they are now.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bson import ObjectId
from django.conf import settings
from openlineage.client.event_v2 import Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    processing_engine_run,
    sql_job,
)
from openlineage.client.serde import Serde
from openlineage.client.uuid import generate_static_uuid

from common.documents import store
from common.documents.store import Stored
from common.times import iso_utc
from connections.models import Connection
from mappings import lineage, openlineage
from mappings.models import ColumnMapping, Mapping
from mappings.openlineage import PRODUCER
from mappings.source import DIALECTS
from runs import planning

STATES = {
    "running": RunState.START,
    "succeeded": RunState.COMPLETE,
    "failed": RunState.FAIL,
    "cancelled": RunState.ABORT,
}


def event_of(run: Stored) -> str:
    """Return the event of a run's document, JSON: of its beginning while it is `running`."""
    content = planning.content_of(run.get("plan_id")) or {}
    source = _connection_of(run.get("connection_id"))
    ended: datetime | None = run.get("ended_at")
    made = RunEvent(
        eventType=STATES[run["status"]],
        eventTime=iso_utc(ended or run["started_at"]),
        producer=PRODUCER,
        run=Run(runId=run_uuid(run), facets=_run_facets(run)),
        job=Job(
            namespace=settings.OPENLINEAGE_NAMESPACE,
            name=run["mapping_name"],
            facets=_job_facets(content, source),
        ),
    )
    if content:
        fields = _fields(run, content, indirect=False)
        # What only chooses rows is read, too.
        made.inputs = openlineage.inputs_of(source, _fields(run, content, indirect=True))
        made.outputs = [_output(run, content, source, fields)]
    return str(Serde.to_json(made))


def run_uuid(run: Stored) -> str:
    """Return the UUID that stands for a run, always the same one: made of its id."""
    identifier = ObjectId(run["_id"])
    return str(generate_static_uuid(identifier.generation_time, identifier.binary))


def _run_facets(run: Stored) -> dict[str, Any]:
    engine = processing_engine_run.ProcessingEngineRunFacet(
        version=settings.VERSION, name=run.get("engine") or "embedded", producer=PRODUCER
    )
    found: dict[str, Any] = {"processing_engine": engine}
    slot: datetime | None = run.get("slot")
    if slot is not None:
        found["nominalTime"] = nominal_time_run.NominalTimeRunFacet(
            nominalStartTime=iso_utc(slot), producer=PRODUCER
        )
    if run["status"] == "failed" and (error := run.get("error")):
        found["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=f"{error['message']} ({error['code']}, at {error['stage']})",
            programmingLanguage="SQL",
            producer=PRODUCER,
        )
    return found


def _job_facets(content: Stored, source: Connection) -> dict[str, Any]:
    kind = job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration="ETL-ENGINE", jobType="MAPPING", producer=PRODUCER
    )
    found: dict[str, Any] = {"jobType": kind}
    if content:
        found["sql"] = sql_job.SQLJobFacet(
            query=content["source_query"], dialect=DIALECTS.get(source.db_type), producer=PRODUCER
        )
    return found


def _output(
    run: Stored, content: Stored, source: Connection, fields: list[dict[str, Any]]
) -> OutputDataset:
    columns = [(one["name"], one["data_type"]) for one in content["columns"]]
    written = openlineage.target_name(run.get("target_id"), content["target_table"])
    output = openlineage.output_of(written, columns, source, fields)
    if run["status"] == "succeeded":
        output.outputFacets = {
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=run.get("rows_written"), producer=PRODUCER
            )
        }
    version = (run.get("target") or {}).get("version")
    if version is not None and output.facets is not None:
        output.facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=str(version), producer=PRODUCER
        )
    return output


def _fields(run: Stored, content: Stored, indirect: bool) -> list[dict[str, Any]]:
    """Return the lineage of what the run's plan writes; nothing where the mapping is gone."""
    found = store.find_one(Mapping, {"_id": run["mapping_id"]})
    if found is None:
        return []
    planned = {
        "source_query": content["source_query"],
        "source_connection_id": run.get("connection_id"),
    }
    mapping = Mapping.from_document({**found, **planned})
    rules = [
        ColumnMapping.from_document({**rule, "_id": ObjectId(rule["id"])})
        for rule in content["rules"]
    ]
    names = {one["name"] for one in content["columns"]}
    fields: list[dict[str, Any]] = lineage.fields_of(mapping, rules, indirect)["fields"]
    return [field for field in fields if field["name"] in names]


def _connection_of(identifier: Any) -> Connection:
    return Connection.from_document(store.find_one(Connection, {"_id": identifier}) or {})
