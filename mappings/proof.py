"""Whether a mapping can run: its query and its rules against what its source describes.

A save is refused for what it changes; what was stored before, and no longer fits, is told by the
mapping's verification.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping as Dict, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bson import ObjectId
from django.core.exceptions import ValidationError

from common.documents import store
from common.documents.models import RuleErrors
from engine.columns import Misplaced, misplaced, unwritten_key
from engine.kinds import SourceColumn
from engine.mismatches import Mismatch, kind_of, mismatches
from engine.plan import Rule
from mappings.models import (
    RULE,
    ColumnMapping,
    DescribedTable,
    Description,
    Mapping,
    RuleConfig,
    Verification,
    VerificationProblem,
    VerificationStatus,
    VerifiedColumn,
    WriteMode,
    texts,
)
from mappings.source import Answer, digest
from mappings.validation import no_such_field
from schemas.evolution import stored_columns
from schemas.models import Schema

DRIFT = frozenset(
    ("dropped_column", "added_column", "changed_type", "moved_columns", "repeated_columns")
)
"""The codes of what is not as it was, and stops no run."""

ASKED_OF = ("source_query", "source_connection_id", "target_schema_id")
"""What a save sends that has the source asked."""


@dataclass(frozen=True)
class Proof:
    """What a source's answer means for a mapping with these rules.

    `misplaced` is what the mapping itself names, beside its rules.
    """

    verification: Verification
    described: Description | None
    mismatches: Sequence[Mismatch]
    answer: Answer
    misplaced: Sequence[Misplaced] = ()

    def note_on(self, mapping: Mapping) -> None:
        """Have the mapping's next write keep it; what says nothing new is not worth one."""
        mapping.described = self.described
        if not self._says_nothing_new(mapping.verification):
            mapping.verification = self.verification

    def _says_nothing_new(self, before: Verification) -> bool:
        said = [
            (one.status, [(each.code, each.message) for each in one.problems or []])
            for one in (before, self.verification)
        ]
        return self.answer.survey is None and before.checked_at is not None and said[0] == said[1]


def prove(
    mapping: Mapping, rules: Sequence[ColumnMapping], answer: Answer, is_save: bool = True
) -> Proof:
    """Return what `answer` means for a mapping; a save that succeeds is what later ones drift from.

    Where the source said nothing, what it described before stays.
    """
    described = description_of(mapping)
    if answer.survey is None:
        return _unproven(mapping, described, answer)
    columns, asked = described_columns(answer), asked_columns(answer)
    types = types_of(mapping)
    found = list(mismatches(plan_rules(rules), types, asked))
    wrong = [*_misplaced(mapping, asked), *lacking_keys(mapping, types, rules)]
    problems = [_problem(one.code, one.message, one.rule.id) for one in found]
    problems += [_problem(one.code, one.message) for one in wrong]
    begins = described is None or (is_save and not problems)
    drift = [] if begins or described is None else list(_drift(described.columns, columns))
    status = VerificationStatus.VERIFIED
    if problems:
        status = VerificationStatus.BROKEN
    elif drift:
        status = VerificationStatus.DRIFTED
    if begins:
        described = _description(answer, columns)
    verification = _verification(status, columns, [*problems, *drift])
    return Proof(verification, described, found, answer, wrong)


def _misplaced(mapping: Mapping, columns: Sequence[SourceColumn]) -> Iterator[Misplaced]:
    return misplaced(mapping.cursor_column, mapping.split_column, columns)


def lacking_keys(
    mapping: Mapping, types: Dict[str, str], rules: Sequence[ColumnMapping]
) -> Iterator[Misplaced]:
    """Yield the key fields of an upsert that no row can have.

    A mapping without rules is only begun: nothing is said of its keys yet.
    """
    if mapping.write_mode != WriteMode.UPSERT or not types:
        return
    written = {field for rule in rules for field in texts(rule.target_fields)}
    for name in texts(mapping.key_fields):
        if name not in types:
            said = f"The key fields: {no_such_field(name, types)}"
            yield Misplaced("mapping_incomplete", said, "key_fields")
        elif rules and name not in written:
            yield Misplaced("mapping_incomplete", unwritten_key(name), "key_fields")


def problems_left(mapping: Mapping, rules: Sequence[ColumnMapping]) -> list[VerificationProblem]:
    """Return what holds of a mapping's known problems now that these are all its rules."""
    before = mapping.verification.problems or []
    known, of_keys = {rule.pk for rule in rules}, {*map(unwritten_key, texts(mapping.key_fields))}
    left = [one for one in before if one.rule_id is None or one.rule_id in known]
    left = [one for one in left if one.message not in of_keys]
    if mapping.verification.status == VerificationStatus.UNVERIFIED:
        return left
    keys = lacking_keys(mapping, types_of(mapping), rules)
    return [*left, *(_problem(one.code, one.message) for one in keys if one.message in of_keys)]


def _unproven(mapping: Mapping, described: Description | None, answer: Answer) -> Proof:
    before = mapping.verification or Verification()
    broken = answer.refused
    status = VerificationStatus.BROKEN if broken else VerificationStatus.UNVERIFIED
    problems = [_problem(answer.code, answer.message)]
    verification = _verification(status, before.columns or [], problems)
    return Proof(verification, described, [], answer)


def _verification(
    status: VerificationStatus,
    columns: Sequence[VerifiedColumn],
    problems: Sequence[VerificationProblem],
) -> Verification:
    return Verification(
        status=status.value, checked_at=store.now(), columns=[*columns], problems=[*problems]
    )


def _problem(code: str, message: str, rule_id: str | None = None) -> VerificationProblem:
    is_id = rule_id is not None and ObjectId.is_valid(rule_id)
    return VerificationProblem(
        code=code, message=message[:2000], rule_id=ObjectId(rule_id) if is_id else None
    )


# --- What the source described --------------------------------------------------------------------


def description_of(mapping: Mapping) -> Description | None:
    """Return what was described of the query that the mapping has now, None where nothing was."""
    described: Description | None = mapping.described
    asked = digest(mapping.source_connection_id, mapping.source_query)
    return described if described is not None and described.query == asked else None


def described_columns(answer: Answer) -> list[VerifiedColumn]:
    survey = answer.survey
    return [
        VerifiedColumn(
            name=column.name, database_type=column.database_type, data_type=column.data_type
        )
        for column in (survey.columns if survey else ())
    ]


def asked_columns(answer: Answer) -> list[SourceColumn]:
    """Return the columns that a source has just told of, as a run would know them."""
    return [
        SourceColumn(column.name, column.kind, column.database_type)
        for column in (answer.survey.columns if answer.survey else ())
    ]


def _description(answer: Answer, columns: Sequence[VerifiedColumn]) -> Description:
    relations = answer.survey.relations if answer.survey else None
    return Description(
        query=answer.query,
        columns=[*columns],
        search_path=[*relations.search_path] if relations else [],
        tables=[
            DescribedTable(schema=one.schema, name=one.name, columns=[*one.columns])
            for one in (relations.found if relations else ())
        ],
    )


def source_columns(columns: Iterable[VerifiedColumn]) -> list[SourceColumn]:
    """Return described columns as the engine knows them."""
    return [
        SourceColumn(one.name, kind_of(one.database_type, one.data_type), one.database_type)
        for one in columns
    ]


def _drift(
    before: Sequence[VerifiedColumn], now: Sequence[VerifiedColumn]
) -> Iterator[VerificationProblem]:
    """Yield what is not as it was described at the last save."""
    old = {column.name: column for column in before}
    new = {column.name: column for column in now}
    for name in [name for name in old if name not in new]:
        yield _problem("dropped_column", f'The query no longer returns the column "{name}".')
    for name in [name for name in new if name not in old]:
        yield _problem("added_column", f'The query returns a new column "{name}".')
    for name in [name for name in new if name in old]:
        if old[name].database_type != new[name].database_type:
            was, now_is = old[name].database_type, new[name].database_type
            yield _problem("changed_type", f'The column "{name}" was {was} and is {now_is} now.')
    names, names_now = [one.name for one in before], [one.name for one in now]
    if sorted(names) == sorted(names_now) and names != names_now:
        yield _problem("moved_columns", "The query returns its columns in another order.")
    elif old.keys() == new.keys() and len(names) != len(names_now):
        yield _problem("repeated_columns", "The query returns a column another number of times.")


class Columns(NamedTuple):
    """What rules are checked against: the source's columns, the types of the target's fields."""

    columns: Sequence[SourceColumn]
    types: Dict[str, str]


def columns_for(mapping: Mapping, answer: Answer) -> Columns | None:
    """Return what rules of a mapping are checked against; None where its source says nothing.

    Where the query is another than the one that was asked of, as it was described counts.
    """
    described = description_of(mapping)
    if answer.survey is None:
        return None
    if answer.query == digest(mapping.source_connection_id, mapping.source_query):
        columns = asked_columns(answer)
    elif described is not None:
        columns = source_columns(described.columns)
    else:
        return None
    return Columns(columns, types_of(mapping))


# --- Rules ----------------------------------------------------------------------------------------


def plan_rules(rules: Iterable[ColumnMapping]) -> list[Rule]:
    """Return rules as a run plans them; one that is not stored yet has its place as its id."""
    return [_plan_rule(rule, place) for place, rule in enumerate(rules)]


def _plan_rule(rule: ColumnMapping, place: int) -> Rule:
    config = rule.config or RuleConfig()
    return Rule(
        id=str(rule.pk) if rule.pk else str(place),
        type=rule.type,
        source_columns=tuple(texts(rule.source_columns)),
        target_fields=tuple(texts(rule.target_fields)),
        delimiter=config.delimiter,
        separator=config.separator,
        overflow=config.overflow or "drop",
    )


def types_of(mapping: Mapping) -> Dict[str, str]:
    """Return the types of the target's fields; none where there is no such schema."""
    found = store.find_one(Schema, {"_id": mapping.target_schema_id}, {"columns": 1}) or {}
    return {str(one["name"]): str(one.get("data_type")) for one in stored_columns(found)}


# --- What a save is refused for -------------------------------------------------------------------


def mapping_errors(mapping: Mapping, proof: Proof) -> RuleErrors:
    """Return what refuses a save of a mapping: of the query, of its columns, and of stored rules
    that it ends.
    """
    found = _column_errors(mapping, proof.misplaced)
    if not mapping.has_changed(*ASKED_OF):
        return found
    is_query = mapping.has_changed("source_query", "source_connection_id")
    if proof.answer.refused and is_query:
        return {"source_query": ValidationError(proof.answer.message, code=proof.answer.code)}
    errors = [
        ValidationError(f"The {_words(one.rule)}: {one.message}", code=one.code)
        for one in proof.mismatches
    ]
    if is_query:
        errors += [
            ValidationError(one.message, code=one.code)
            for one in proof.misplaced
            if one.field in OF_THE_QUERY and one.field not in found
        ]
    if errors:
        found["source_query" if is_query else "target_schema"] = ValidationError(errors)
    return found


OF_THE_QUERY = ("cursor_column", "split_column")
"""What a mapping names of its query's columns."""


def _column_errors(mapping: Mapping, wrong: Iterable[Misplaced]) -> RuleErrors:
    return {
        one.field: ValidationError(one.message, code=one.code)
        for one in wrong
        if one.field in OF_THE_QUERY and mapping.has_changed(one.field)
    }


def unasked_errors(mapping: Mapping) -> RuleErrors:
    """Return what refuses a save of which the source is not asked: what it told last counts."""
    if not mapping.has_changed(*OF_THE_QUERY) or description_of(mapping) is None:
        return {}
    known = source_columns(mapping.verification.columns or [])
    return _column_errors(mapping, _misplaced(mapping, known)) if known else {}


def rule_errors(found: Iterable[Mismatch]) -> RuleErrors:
    """Return what refuses a save of one rule, by the wrong part of it."""
    return {one.place: ValidationError(one.message, code=one.code) for one in found}


def _words(rule: Rule) -> str:
    return f"{rule.type} rule {', '.join(rule.source_columns)} → {', '.join(rule.target_fields)}"


def new_mismatches(rules: Sequence[ColumnMapping], proof: Proof) -> list[ValidationError]:
    """Return what refuses a save of those of a mapping's rules that change."""
    changed = {
        one.id
        for rule, one in zip(rules, plan_rules(rules), strict=True)
        if rule.has_changed(*RULE)
    }
    return [
        ValidationError(f"The {_words(one.rule)}: {one.message}", code=one.code)
        for one in proof.mismatches
        if one.rule.id in changed
    ]
