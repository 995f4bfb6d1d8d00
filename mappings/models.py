"""Mappings: what is read from a source, and which column goes into which target field."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from bson import ObjectId
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django_mongodb_backend.fields import (
    ArrayField,
    EmbeddedModelArrayField,
    EmbeddedModelField,
    ObjectIdField,
)
from django_mongodb_backend.models import EmbeddedModel
from pymongo.errors import DuplicateKeyError

from common.documents import store
from common.documents.codecs import MAX_NUMBER, OptionalNumberField, reference_to
from common.documents.models import Document, Held, RuleErrors, page_index
from connections.models import Connection, connection_kind
from connections.refusals import as_refusals
from mappings import tables, validation
from schemas.evolution import stored_columns
from schemas.models import Schema
from sources import windows
from sources.errors import StatementRefused
from sources.statement import check_statement
from targets.models import Target

LINEAGES = "lineages"
"""What was read of each mapping's query, under its id: it can be made again at any time."""


class VerificationStatus(models.TextChoices):
    """How what a mapping asks for stands to what its source gives."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    DRIFTED = "drifted"
    BROKEN = "broken"


class VerifiedColumn(EmbeddedModel):
    """A column of the query, as the source described it."""

    name = models.CharField(max_length=1000)
    database_type = models.CharField(max_length=1000)
    data_type = models.CharField(max_length=20, null=True)


class VerificationProblem(EmbeddedModel):
    """Why a mapping is not verified; of a rule, or of the whole where that is null."""

    code = models.CharField(max_length=40)
    message = models.CharField(max_length=2000)
    rule_id = ObjectIdField(null=True)


class Verification(EmbeddedModel):
    """How the mapping stood to its source when that was asked last."""

    status = models.CharField(
        max_length=20, choices=VerificationStatus.choices, default=VerificationStatus.UNVERIFIED
    )
    checked_at = models.DateTimeField(null=True)
    columns = EmbeddedModelArrayField(VerifiedColumn, default=list)
    problems = EmbeddedModelArrayField(VerificationProblem, default=list)


class DescribedTable(EmbeddedModel):
    """A table that the query names, where the source found it."""

    schema = models.CharField(max_length=1000)
    name = models.CharField(max_length=1000)
    columns = ArrayField(models.CharField(max_length=1000), default=list)


class Description(EmbeddedModel):
    """What the source said of the query at the last save: what drifts, drifts from here.

    `query` is a digest of the query and its connection, so that it counts for no other.
    """

    query = models.CharField(max_length=64)
    columns = EmbeddedModelArrayField(VerifiedColumn, default=list)
    search_path = ArrayField(models.CharField(max_length=1000), default=list)
    tables = EmbeddedModelArrayField(DescribedTable, default=list)


class WriteMode(models.TextChoices):
    """What a run does to the rows that its mapping wrote before."""

    APPEND = "append"
    REPLACE = "replace"
    UPSERT = "upsert"


class Engine(models.TextChoices):
    """What moves the rows."""

    AUTO = "auto"
    EMBEDDED = "embedded"
    SPARK = "spark"


not_negative = [
    MinValueValidator(0, "Expected a whole number from 0 to 2147483647."),
    MaxValueValidator(MAX_NUMBER, "Expected a whole number from 0 to 2147483647."),
]


class Mapping(Document):
    """A source query and the schema that its rows become."""

    kept = frozenset({"verification", "described"})

    name = models.CharField(max_length=100, unique=True)
    description = models.CharField(max_length=500, null=True, blank=True)
    source_connection = models.ForeignKey(
        Connection, models.PROTECT, related_name="mappings", db_index=False
    )
    source_connection_id: ObjectId
    source_query = models.TextField(max_length=100_000)
    target_schema = models.ForeignKey(
        Schema, models.PROTECT, related_name="mappings", db_index=False
    )
    target_schema_id: ObjectId
    target = models.ForeignKey(
        Target, models.PROTECT, related_name="mappings", db_index=False, null=True, blank=True
    )
    target_id: ObjectId | None
    # None until the rules make it the schema's name.
    target_table = models.CharField(max_length=63, null=True, blank=True)
    write_mode = models.CharField(
        max_length=20, choices=WriteMode.choices, default=WriteMode.APPEND.value
    )
    key_fields = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    cursor_column = models.CharField(max_length=256, null=True, blank=True)
    cursor_lag_s = models.IntegerField(default=0, blank=True, validators=not_negative)
    max_rejected = OptionalNumberField(default=0, null=True, blank=True, validators=not_negative)
    split_column = models.CharField(max_length=256, null=True, blank=True)
    engine = models.CharField(max_length=20, choices=Engine.choices, default=Engine.AUTO.value)
    verification = EmbeddedModelField(Verification, default=Verification, editable=False)
    described = EmbeddedModelField(Description, null=True, editable=False)

    class Meta(Document.Meta):
        db_table = "mappings"
        ordering = ["-updated_at", "-id"]
        indexes = [
            page_index("mappings_newest"),
            page_index("mappings_by_name", "name"),
            page_index("mappings_connection", "source_connection"),
            page_index("mappings_schema", "target_schema"),
            page_index("mappings_target", "target"),
            page_index("mappings_table", "target_table"),
            page_index("mappings_write_mode", "write_mode"),
        ]

    writes: Collection[str] | None = None
    """What its rules write once it is saved; asked of the store unless given by who saves both."""

    def rule_errors(self) -> RuleErrors:
        self._take_defaults()
        errors = super().rule_errors()
        errors |= self._query_errors() | self._table_errors() | self._mode_errors()
        if self._moves_to_another_schema() and "target_schema" not in errors:
            errors |= self._target_errors()
        return errors

    def _take_defaults(self) -> None:
        self.write_mode = self.write_mode or WriteMode.APPEND.value
        self.engine = self.engine or Engine.AUTO.value
        self.key_fields = [] if self.key_fields is None else self.key_fields
        self.cursor_lag_s = 0 if self.cursor_lag_s is None else self.cursor_lag_s
        self.cursor_column, self.split_column = (
            self.cursor_column or None,
            self.split_column or None,
        )
        self.target_table = (self.target_table or "").strip() or None
        if self.target_table is None and (not self.is_stored or self.has_changed("target_table")):
            self.target_table = table_of(self.target_schema_id)

    def _table_errors(self) -> RuleErrors:
        if self.target_table is None or not self.has_changed("target_table"):
            return {}
        if problem := tables.problem_of(self.target_table):
            return {"target_table": ValidationError(problem, code="invalid_table")}
        return {}

    def _mode_errors(self) -> RuleErrors:
        errors: RuleErrors = {}
        reads_all = self.write_mode == WriteMode.REPLACE and self.cursor_column is not None
        if reads_all and self.has_changed("write_mode", "cursor_column"):
            said = "A mapping that replaces its rows reads all of them: it has no cursor."
            errors["cursor_column"] = ValidationError(said, code="cursor_with_replace")
        changed = self.has_changed("write_mode", "key_fields", "target_schema_id")
        if changed and self.write_mode == WriteMode.UPSERT and (said := self._key_problem()):
            errors["key_fields"] = ValidationError(said, code="invalid_keys")
        return errors

    def _key_problem(self) -> str:
        """Return what is wrong with the fields by which rows are known again, or nothing."""
        keys = texts(self.key_fields)
        if not keys:
            return "An upsert needs at least one key field."
        if len(set(keys)) < len(keys):
            return "A key field is named twice."
        columns = column_names(self.target_schema_id)
        if columns and (lacking := [name for name in keys if name not in columns]):
            return " ".join(validation.no_such_field(name, columns) for name in lacking)
        written = self._written()
        if written and (idle := [name for name in keys if name not in written]):
            return f"No rule writes {', '.join(idle)}: a key has a value in every row."
        return ""

    def _written(self) -> Collection[str]:
        if self.writes is not None:
            return self.writes
        return written_fields(self.pk) if self.is_stored else ()

    def _query_errors(self) -> RuleErrors:
        kind = connection_kind(self.source_connection_id) if self._query_is_new() else None
        if not kind:
            return {}
        with as_refusals():
            try:
                query = windows.fill_last_day(self.source_query, kind, store.now())
                check_statement(query, kind, runs=True)
            except StatementRefused as refusal:
                return {"source_query": ValidationError(refusal.message, code="refused_statement")}
        return {}

    def _query_is_new(self) -> bool:
        return bool(self.source_query) and self.has_changed("source_query", "source_connection_id")

    def _moves_to_another_schema(self) -> bool:
        return self.is_stored and self.has_changed("target_schema_id")

    def _target_errors(self) -> RuleErrors:
        lacking = sorted(set(written_fields(self.pk)) - column_names(self.target_schema_id))
        if not lacking:
            return {}
        listed = ", ".join(f'"{name}"' for name in lacking)
        message = (
            f"The schema lacks {listed}, which the mapping's rules write. First delete these rules "
            "and save, or give the schema what it lacks."
        )
        return {"target_schema": ValidationError(message, code="missing_columns")}

    def delete_dependents(self) -> None:
        super().delete_dependents()
        store.named(LINEAGES).delete_one({"_id": self.pk}, session=store.mongodb.session)

    recheck: Callable[[], RuleErrors] | None = None
    """What the stored rules are checked by once more, in the transaction that writes."""

    def held_by_save(self) -> list[Held]:
        """Return the mapping itself, too, where its rules must fit another schema or query."""
        checks_rules = self._moves_to_another_schema() or (self.is_stored and self.recheck)
        return super().held_by_save() + ([(Mapping, self.pk)] if checks_rules else [])

    def confirm(self) -> None:
        super().confirm()
        if self._moves_to_another_schema() and (errors := self._target_errors()):
            raise ValidationError(errors)
        if self.is_stored and self.recheck and (errors := self.recheck()):
            raise ValidationError(errors)


class Overflow(models.TextChoices):
    """What becomes of the pieces that a split has no field for."""

    DROP = "drop"
    KEEP = "keep"
    REJECT = "reject"


class RuleConfig(EmbeddedModel):
    """What a rule needs beyond its columns; the unused option is null."""

    only_where_set = frozenset({"overflow"})

    delimiter = models.CharField(max_length=100, null=True, blank=True)
    separator = models.CharField(max_length=100, null=True, blank=True)
    overflow = models.CharField(max_length=10, choices=Overflow.choices, null=True, blank=True)

    def as_dict(self) -> dict[str, str | None]:
        return {
            "delimiter": self.delimiter,
            "separator": self.separator,
            "overflow": self.overflow,
        }


class RuleKind(models.TextChoices):
    DIRECT = "direct"
    SPLIT = "split"
    JOIN = "join"


KINDS = frozenset(RuleKind.values)


class ColumnMapping(Document):
    """One rule of a mapping: source columns into target fields."""

    set_name = "rules"

    mapping = models.ForeignKey(
        Mapping, models.CASCADE, related_name="column_mappings", db_index=False
    )
    mapping_id: ObjectId
    type = models.CharField(max_length=10, choices=RuleKind.choices)
    source_columns = ArrayField(models.CharField(max_length=256))
    target_fields = ArrayField(models.CharField(max_length=100))
    config = EmbeddedModelField(RuleConfig, default=RuleConfig, blank=True)

    class Meta(Document.Meta):
        db_table = "column_mappings"
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(fields=["mapping", "created_at", "id"], name="column_mappings_in_order"),
            page_index("column_mappings_newest"),
        ]
        constraints = [
            # An index over an array holds each of its items: no field is written twice.
            models.UniqueConstraint(
                fields=["mapping", "target_fields"], name="column_mappings_write_once"
            ),
        ]

    def __str__(self) -> str:
        sources, targets = texts(self.source_columns), texts(self.target_fields)
        return f"{self.type} {', '.join(sources)} → {', '.join(targets)}"

    targets: validation.Targets | None = None
    """What the rule may write; asked of the store unless given by whoever checks a whole set."""

    def rule_errors(self) -> RuleErrors:
        # Whoever gives the targets has looked for the mapping.
        errors = {} if self.targets else super().rule_errors()
        if self.type not in KINDS or not self.has_changed(*RULE):
            return errors
        sources, targets = texts(self.source_columns), texts(self.target_fields)
        config = (self.config or RuleConfig()).as_dict()
        errors |= as_errors(validation.shape_problems(self.type, sources, targets, config))
        return errors | as_errors(self._targets().problems(targets))

    def _targets(self) -> validation.Targets:
        return self.targets or targets_of(self.mapping_id, without=self.pk)

    def held_by_save(self) -> list[Held]:
        """Return the mapping: its rules are checked against each other."""
        return [(Mapping, self.mapping_id)]

    def confirm(self) -> None:
        self.targets = None
        self.clean()

    def duplicate(self, clash: DuplicateKeyError) -> Exception:
        return written_twice()


RULE = ("type", "source_columns", "target_fields", "config")


def written_twice() -> ValidationError:
    """Return what the unique index says when another program wrote the field first."""
    return ValidationError(
        {"target_fields": ValidationError("One of these is already written.", code="duplicate")}
    )


def as_errors(problems: Iterable[validation.Problem]) -> RuleErrors:
    return {path: ValidationError(sentence, code="invalid_rule") for path, sentence in problems}


def column_names(schema_id: ObjectId | None) -> set[str]:
    """Return the names of a schema's columns, none where there is no such schema."""
    found = store.find_one(Schema, {"_id": schema_id}, {"columns.name": 1}) or {}
    return {column["name"] for column in stored_columns(found)}


def table_of(schema_id: ObjectId | None) -> str | None:
    """Return the table that a schema's rows go into unless told; None without a schema."""
    found = store.find_one(Schema, {"_id": schema_id}, {"name": 1})
    return tables.default_name(str(found.get("name", ""))) if found else None


def written_fields(mapping_id: ObjectId, without: ObjectId | None = None) -> dict[str, str]:
    """Return the fields that a mapping's rules write, each with words that name its rule."""
    condition = {"mapping_id": reference_to(mapping_id), "_id": {"$ne": without}}
    rules = store.find(ColumnMapping, condition, {"target_fields": 1, "type": 1})
    return {
        field: f"the {rule.get('type')} rule {rule['_id']}"
        for rule in rules
        for field in texts(rule.get("target_fields"))
    }


def texts(stored: Any) -> list[str]:
    """Return the texts of a stored list; what another program garbled counts as none."""
    return [item for item in stored if isinstance(item, str)] if isinstance(stored, list) else []


def targets_of(mapping_id: ObjectId, without: ObjectId | None = None) -> validation.Targets:
    """Return what a rule of this mapping may write, beside its other rules."""
    found = store.find_one(Mapping, {"_id": mapping_id})
    if found is None:
        return validation.Targets(set(), {})
    schema_id = Mapping.from_document(found).target_schema_id
    return validation.Targets(column_names(schema_id), written_fields(mapping_id, without))
