"""Column mappings: the rules of one mapping, in the order they were added."""

from collections import Counter
from typing import Annotated, Literal

from bson import ObjectId
from fastapi import APIRouter, Query, Request, Response
from peer import database
from peer.database import Document
from peer.problems import Invalid, not_found
from peer.records import Body, Id, Ignored, Page, PathId, Record, list_response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

Kind = Literal["direct", "split", "join"]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
ColumnNames = Annotated[list[ColumnName], Field(min_length=1, max_length=1000)]
Option = Annotated[str, StringConstraints(strip_whitespace=False, max_length=100)]
Error = tuple[str, str, str]

OPTIONS = {"split": "delimiter", "join": "separator"}
IN_ORDER = [("created_at", 1), ("_id", 1)]


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")

    delimiter: Option | None = None
    separator: Option | None = None


class RuleCreate(Body):
    mapping_id: Ignored = None
    type: Kind
    source_columns: ColumnNames
    target_fields: ColumnNames
    config: Config | None = None

    def shape_errors(self) -> list[tuple[str, str]]:
        """Return what does not fit the kind of the rule, by field."""
        sources, targets = len(self.source_columns), len(self.target_fields)
        found = []
        if self.type == "join" and sources < 2:
            found.append(("source_columns", "A join rule reads two or more source columns."))
        if self.type != "join" and sources != 1:
            found.append(("source_columns", f"A {self.type} rule reads one source column."))
        if self.type == "split" and targets < 2:
            found.append(("target_fields", "A split rule writes two or more target fields."))
        if self.type != "split" and targets != 1:
            found.append(("target_fields", f"A {self.type} rule writes one target field."))
        return found + self.config_errors()

    def config_errors(self) -> list[tuple[str, str]]:
        config = self.config or Config()
        used = OPTIONS.get(self.type)
        found = []
        for option in ("delimiter", "separator"):
            value = getattr(config, option)
            if option != used and value is not None:
                found.append((f"config.{option}", f"A {self.type} rule has no {option}."))
            if option == used and value is None:
                found.append((f"config.{option}", f"A {self.type} rule needs a {option}."))
        if self.type == "split" and config.delimiter == "":
            found.append(("config.delimiter", "The delimiter has at least one character."))
        return found


class Rule(Record):
    mapping_id: Id
    type: str
    source_columns: list[str]
    target_fields: list[str]
    config: Config


class RulePage(Page):
    type: Kind | None = None


rule_list = TypeAdapter(list[Rule])
router = APIRouter(prefix="/mappings/{identifier}/column-mappings", tags=["mappings"])


@router.get("", response_model=list[Rule])
def list_rules(
    request: Request, identifier: PathId, page: Annotated[RulePage, Query()]
) -> Response:
    mapping = stored_mapping(identifier)
    scope = {"mapping_id": mapping["_id"]}
    return list_response(request, database.column_mappings, page, rule_list, scope, IN_ORDER)


@router.put("", response_model=list[Rule])
def replace_rules(identifier: PathId, body: list[RuleCreate]) -> Response:
    mapping = stored_mapping(identifier)
    schema = database.schemas.find_one({"_id": mapping["target_schema_id"]}, {"columns.name": 1})
    check(body, {column["name"] for column in (schema or {}).get("columns", [])})
    documents = [document_of(rule, mapping["_id"]) for rule in body]
    replace(mapping["_id"], documents)
    rules = rule_list.validate_python(documents)
    return Response(rule_list.dump_json(rules, by_alias=True), media_type="application/json")


def stored_mapping(identifier: str) -> Document:
    mapping = database.mappings.find_one({"_id": ObjectId(identifier)}, {"target_schema_id": 1})
    if mapping is None:
        raise not_found("mapping", identifier)
    return mapping


def check(rules: list[RuleCreate], columns: set[str]) -> None:
    """Raise Invalid with everything that is wrong with a set of rules."""
    written: Counter[str] = Counter()
    errors: list[Error] = []
    for position, rule in enumerate(rules):
        found = rule.shape_errors()
        for index, field in enumerate(rule.target_fields):
            path = f"target_fields.{index}"
            if field not in columns:
                found.append((path, f'The target schema has no column "{field}".'))
            elif written[field]:
                found.append((path, f'"{field}" is written twice.'))
            written[field] += 1
        errors += [(f"{position}.{path}", "invalid_rule", text) for path, text in found]
    if errors:
        raise Invalid(*errors)


def document_of(rule: RuleCreate, mapping_id: ObjectId) -> Document:
    moment = database.now()
    return {
        "_id": ObjectId(),
        "created_at": moment,
        "updated_at": moment,
        "mapping_id": mapping_id,
        "type": rule.type,
        "source_columns": rule.source_columns,
        "target_fields": rule.target_fields,
        "config": (rule.config or Config()).model_dump(),
    }


def replace(mapping_id: ObjectId, documents: list[Document]) -> None:
    """Make `documents` the whole set, in one transaction."""

    def work(session: ClientSession) -> None:
        database.column_mappings.delete_many({"mapping_id": mapping_id}, session=session)
        if documents:
            database.column_mappings.insert_many(documents, session=session)

    try:
        with database.client.start_session() as session:
            session.with_transaction(work)
    except BulkWriteError as failure:
        raise Invalid(("target_fields", "duplicate", "Already written.")) from failure
