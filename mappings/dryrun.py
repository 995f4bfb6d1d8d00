"""What the first rows of a run would become, of a stored mapping or of one that a body describes.

What a save would refuse is a problem here: the rest is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

from bson import ObjectId
from django.conf import settings
from rest_framework import serializers

from common.api.fields import ChoiceField, IdField, SourceNameField, TextField, TextListField
from common.api.problems import Invalid, flattened
from common.context import client_address
from common.documents import store
from common.documents.models import exists
from connections.models import Connection
from connections.refusals import as_refusals
from engine import asking
from engine.plan import CursorWindow, Field, Plan, Rule
from engine.problems import Problem
from mappings import preview, proof, rules
from mappings.models import ColumnMapping, Mapping, WriteMode, texts
from mappings.serializers import (
    ColumnMappingSerializer,
    MappingSerializer,
    WindowSerializer,
    window_of,
)
from mappings.validation import Targets
from schemas.models import Schema
from sources.asking import place_for_query
from sources.contract import SourceParams
from sources.errors import StatementRefused
from sources.statement import check_statement

Problems = list[dict[str, Any]]


class LimitSerializer(WindowSerializer):
    """How many rows of the source are read, and those of which window."""

    limit = serializers.IntegerField(min_value=1, max_value=1000, default=100)


class DryRunBodySerializer(LimitSerializer):
    """A mapping with its rules; nothing of it is stored."""

    source_connection_id = IdField()
    source_query = TextField(max_length=100_000)
    target_schema_id = IdField()
    write_mode = ChoiceField(
        choices=WriteMode.choices, required=False, allow_null=True, default=None
    )
    key_fields = TextListField(
        child=TextField(max_length=100, trim_whitespace=False),
        required=False,
        allow_null=True,
        default=None,
        max_length=1000,
    )
    cursor_column = SourceNameField(required=False, allow_null=True, default=None)
    split_column = SourceNameField(required=False, allow_null=True, default=None)
    column_mappings = serializers.ListField(
        child=serializers.JSONField(), max_length=rules.MAX_RULES, default=[]
    )

    REFERENCES: ClassVar = {"source_connection_id": Connection, "target_schema_id": Schema}

    def field_names(self) -> Any:
        """Take every field of a mapping, so that one can be sent as it was read."""
        return self.fields.keys() | MappingSerializer().fields.keys()

    def more_errors(self, values: dict[str, Any], errors: dict[str, Any], data: Any) -> Any:
        errors = super().more_errors(values, errors, data)
        for name, model in self.REFERENCES.items():
            if name in values and not exists(model, values[name]):
                said = f"There is no {model._meta.verbose_name} with this id."
                errors[name] = [serializers.ErrorDetail(said, code="unknown_reference")]
        return errors


class RuleCountsSerializer(serializers.Serializer):
    rule_id = serializers.CharField()
    read = serializers.IntegerField()
    null = serializers.IntegerField()
    rejected = serializers.IntegerField()
    dropped = serializers.IntegerField()


class DryRunProblemSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    rule_id = serializers.CharField(allow_null=True)


class DryRunSerializer(serializers.Serializer):
    """The target rows as they would be, and what does not fit."""

    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(child=serializers.ListField(child=serializers.JSONField()))
    rejected = serializers.ListField(child=serializers.DictField())
    problems = DryRunProblemSerializer(many=True)
    rules = RuleCountsSerializer(many=True)
    unwritten_fields = serializers.ListField(child=serializers.CharField())
    unread_columns = serializers.ListField(child=serializers.CharField())


OF_THE_MAPPING = (
    "source_connection_id", "source_query", "target_schema_id", "write_mode", "key_fields",
    "cursor_column", "split_column",
)  # fmt: skip


class NothingToShow(Invalid):
    """No rule can be run. `problems` says why, as an answer does; `places` are of the rules."""

    def __init__(self, problems: Problems, places: dict[str, int]) -> None:
        self.problems = problems
        super().__init__(
            [
                {
                    "field": _field(places.get(str(one["rule_id"]))),
                    "code": one["code"],
                    "message": one["message"],
                }
                for one in problems
            ]
        )


def _field(place: int | None) -> str:
    return "column_mappings" if place is None else f"column_mappings.{place}"


def of_stored(mapping: Mapping, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the dry run of a stored mapping. Raises as `of_body` does."""
    found = proof.plan_rules(rules.in_order(mapping.pk))
    places = {rule.id: place for place, rule in enumerate(found)}
    return _dry_run(mapping, found, [], places, asked)


def of_body(data: Any) -> dict[str, Any]:
    """Return the dry run of the mapping that a body describes.

    Raises DRF's ValidationError for a wrong body, NothingToShow where no rule can be run, and the
    ServiceError that a source's trouble is.
    """
    serializer = DryRunBodySerializer(data=data)
    serializer.is_valid(raise_exception=True)
    values = serializer.validated_data
    mapping = Mapping(**{name: values[name] for name in OF_THE_MAPPING})
    items = values["column_mappings"]
    found, problems = _rules_of(items, mapping)
    places = {_id_of(item, place): place for place, item in enumerate(items)}
    return _dry_run(mapping, found, problems, places, values)


def _rules_of(items: Sequence[Any], mapping: Mapping) -> tuple[list[Rule], Problems]:
    """Return the rules that are right by themselves, and what is wrong with the others.

    A rule that has no id is known by its place, from 0.
    """
    found: list[Rule] = []
    problems: Problems = []
    targets = Targets(set(proof.types_of(mapping)), {})
    for place, item in enumerate(items):
        rule_id = _id_of(item, place)
        serializer = ColumnMappingSerializer(
            data=item, context={"mapping_id": ObjectId(), "targets": targets}
        )
        if serializer.is_valid():
            rule: ColumnMapping = serializer.record
            targets.take(rule.target_fields, f"the rule {rule_id}")
            found.append(replace(proof.plan_rules([rule])[0], id=rule_id))
        problems += [
            {"code": one["code"], "message": one["message"], "rule_id": rule_id}
            for one in flattened(serializer.errors)
        ]
    return found, problems


def _id_of(item: Any, place: int) -> str:
    sent = item.get("id") if isinstance(item, dict) else None
    return sent if isinstance(sent, str) and sent else str(place)


def _dry_run(
    mapping: Mapping,
    found: Sequence[Rule],
    problems: Problems,
    places: dict[str, int],
    asked: dict[str, Any],
) -> dict[str, Any]:
    params = _params(mapping)
    query = preview.filled(mapping.source_query, params.kind, window_of(asked))
    try:
        plan, misfits = _plan(mapping, query, found)
    except Problem as problem:
        told = problems or [_told(problem.code, problem.message)]
        raise NothingToShow(told, places) from problem
    with as_refusals(), place_for_query(params, client_address()):
        shown = asking.dry_run(params, plan, asked["limit"], settings.PREVIEW_TIMEOUT_S)
    problems = [*problems, *misfits, *_not_run(query, params.kind), *shown.problems]
    if not shown.rules:
        raise NothingToShow(problems, places)
    return {**asdict(shown), "problems": problems}


def _told(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "rule_id": None}


def _not_run(query: str, kind: str) -> Problems:
    """Return the problem of a statement that is previewed, and that no mapping runs."""
    try:
        check_statement(query, kind, runs=True)
    except StatementRefused as refusal:
        return [_told("query_refused", refusal.message)]
    return []


def _params(mapping: Mapping) -> SourceParams:
    document = store.find_one(Connection, {"_id": mapping.source_connection_id})
    if document is None:
        said = "There is no connection with this id."
        raise Invalid(
            [{"field": "source_connection_id", "code": "unknown_reference", "message": said}]
        )
    return Connection.from_document(document).params()


def _plan(mapping: Mapping, query: str, found: Sequence[Rule]) -> tuple[Plan, Problems]:
    """Return the plan of a run that only shows, and what of it could not be planned.

    Raises Problem where nothing could.
    """
    fields = tuple(Field(name, kind) for name, kind in proof.types_of(mapping).items())
    plan = Plan(
        query=query,
        rules=tuple(found),
        columns=fields,
        table="dry_run",
        write_mode="append",
        mapping_id=str(mapping.pk),
        run_id="",
        loaded_at=store.now(),
        max_rejected=None,
        split_column=mapping.split_column or None,
    )
    mode = mapping.write_mode or WriteMode.APPEND.value
    cursor = CursorWindow(mapping.cursor_column) if mapping.cursor_column else None
    problems: Problems = []
    keys = tuple(texts(mapping.key_fields))
    for change in ({"write_mode": mode, "key_fields": keys}, {"cursor": cursor}):
        try:
            plan = replace(plan, **change)
        except Problem as misfit:
            problems.append(_told(misfit.code, misfit.message))
    return plan, problems
