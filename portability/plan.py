"""Compares a file with the store: what would be created, changed and deleted; and what is wrong.

Everything is checked by the API's own serializers, before anything is written. References are by
name, to records of the file or, unless others are deleted, of the store.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bson import ObjectId

from common.api.problems import flattened
from common.documents import store
from common.documents.models import Document
from common.documents.store import Stored
from common.exceptions import InUse, UnreadableSecret
from common.secrets.fields import Secret
from mappings.models import ColumnMapping, column_names
from mappings.serializers import ColumnMappingSerializer
from mappings.validation import Targets
from portability import kinds
from portability.export import Snapshot
from portability.kinds import BY_SECTION, KINDS, RULES, VERSION, Form, Kind
from portability.text import Node, Place, Problem, Problems, read
from schemas import evolution

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}\Z", re.ASCII)
RULES_ARE_REPLACED = "missing_columns"

Advance = Callable[[int], None]
Environment = Mapping[str, str]


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True)
class FieldChange:
    """One field, in the file's form; None where it is absent. Of a secret, only its reference."""

    field: str
    before: Any
    after: Any


@dataclass
class Change:
    """One record to write or delete, and for a mapping the rules to replace, None to keep them."""

    action: Action
    kind: Kind
    name: str
    record: Document
    fields: list[FieldChange] = field(default_factory=list)
    rules: list[ColumnMapping] | None = None


@dataclass
class Plan:
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0

    def count(self, action: Action) -> int:
        return sum(change.action is action for change in self.changes)


def plan(
    content: str,
    environment: Environment,
    *,
    prune: bool = False,
    only: Iterable[str] | None = None,
    advance: Advance = lambda count: None,
) -> Plan:
    """Return what applying a file would do; with `prune`, also to records it does not name.

    `only` tells, where that is known, which names of the store have to be read.

    Raises Problems, all of them.
    """
    tree = read(content)
    planner = _Planner(Snapshot(only), environment, prune=prune)
    planner.take(tree)
    planner.check(advance)
    if planner.problems:
        raise Problems(planner.problems)
    return planner.plan


@dataclass
class _Wanted:
    """A record of the file: its stored document, if there is one, and its id here and there."""

    kind: Kind
    name: str
    node: Node
    place: Place
    stored: Stored | None
    id: ObjectId

    @property
    def path(self) -> str:
        return f'{self.kind.noun} "{self.name}"'


class _Planner:
    def __init__(self, snapshot: Snapshot, environment: Environment, *, prune: bool) -> None:
        self.snapshot = snapshot
        self.environment = environment
        self.prune = prune
        self.problems: list[Problem] = []
        self.plan = Plan()
        self.wanted: dict[str, dict[str, _Wanted]] = {kind.section: {} for kind in KINDS}
        self.listed: set[str] = set()
        """The sections that the file has; of others nothing is deleted."""
        self.pending: dict[ObjectId, Stored] = {}
        self.stored = {
            section: {found.get("name"): found for found in documents}
            for section, documents in snapshot.documents.items()
        }

    # --- What the file has ------------------------------------------------------------------------

    def take(self, tree: Node) -> None:
        """Note the records that the file names."""
        if not isinstance(tree.value, dict):
            message = f"Expected the sections {', '.join(BY_SECTION)}."
            self.problems.append(Problem(tree.place, "", message))
            return
        for section, node in tree.value.items():
            if section in BY_SECTION:
                self._take_section(BY_SECTION[section], node)
            elif section != "version":
                there_are = f"There is no such section; there are {', '.join(BY_SECTION)}."
                self.problems.append(Problem(tree.keys[section], section, there_are))
            elif node.value != VERSION:
                self._note(node, section, f"Expected {VERSION}, the version this program reads.")

    def _take_section(self, kind: Kind, section: Node) -> None:
        self.listed.add(kind.section)
        if section.value is None:
            return
        if not isinstance(section.value, dict):
            self._note(section, kind.section, "Expected records by their names.")
            return
        for name, node in section.value.items():
            place = section.keys[name]
            wanted = self._wanted(kind, name, node, place)
            self.wanted[kind.section][name] = wanted
            if not isinstance(node.value, dict):
                self.problems.append(Problem(place, wanted.path, "Expected its fields."))
            elif name != name.strip():
                message = "The name begins or ends with white space."
                self.problems.append(Problem(place, wanted.path, message))

    def _wanted(self, kind: Kind, name: str, node: Node, place: Place) -> _Wanted:
        stored = self.stored[kind.section].get(name)
        identifier = stored["_id"] if stored else ObjectId()
        self.snapshot.names[kind.section].setdefault(identifier, name)
        return _Wanted(kind, name, node, place, stored, identifier)

    def _note(self, node: Node, path: str, message: str) -> None:
        self.problems.append(Problem(node.place, path, message))

    # --- Checks -----------------------------------------------------------------------------------

    def check(self, advance: Advance) -> None:
        """Check every record, each as if those before it were stored; plan what differs."""
        names = {*self.wanted["connections"], *self.snapshot.names["connections"].values()}
        self.snapshot.variables = kinds.variables_for(names)
        with store.as_if_stored(self.pending):
            for kind in KINDS:
                for wanted in self.wanted[kind.section].values():
                    if isinstance(wanted.node.value, dict):
                        self._check_record(wanted)
                    advance(1)
        if self.prune:
            self._plan_deletions()

    def _check_record(self, wanted: _Wanted) -> None:
        draft = _Draft(wanted, self)
        record = draft.checked()
        record.pk = wanted.id
        rules = self._checked_rules(wanted, record) if wanted.kind.section == "mappings" else None
        self.problems += draft.problems
        self.pending[wanted.id] = {"_id": wanted.id, **_best_effort(record)}
        if not draft.problems:
            self._plan_change(wanted, record, draft.new_secrets, rules)

    def resolve(self, section: str, name: Any) -> ObjectId | str:
        """Return the id of the record that a reference names, or what is wrong with it."""
        if not isinstance(name, str):
            return f"Expected the name of a {BY_SECTION[section].noun}."
        if name in self.wanted[section]:
            return self.wanted[section][name].id
        found = self.stored[section].get(name)
        if found is None:
            return f'There is no {BY_SECTION[section].noun} "{name}".'
        if self.prune and section in self.listed:
            return f'The {BY_SECTION[section].noun} "{name}" is not in the file: it would go.'
        return found["_id"]

    def _checked_rules(self, wanted: _Wanted, mapping: Any) -> list[ColumnMapping]:
        node = wanted.node.value.get(RULES)
        if node is None or node.value is None:
            return []
        if not isinstance(node.value, list):
            self._note(node, f"{wanted.path}, {RULES}", "Expected a list of rules.")
            return []
        schema = mapping.target_schema_id
        targets = Targets(column_names(schema) if schema else _AnyName(), {})
        return list(self._valid_rules(wanted, node, targets))

    def _valid_rules(
        self, wanted: _Wanted, node: Node, targets: Targets
    ) -> Iterator[ColumnMapping]:
        for position, item in enumerate(node.value):
            serializer = ColumnMappingSerializer(
                data=item.plain(), context={"mapping_id": wanted.id, "targets": targets}
            )
            if serializer.is_valid():
                rule: Any = serializer.record
                targets.take(rule.target_fields, f"the rule at position {position}")
                yield rule
            for error in flattened(serializer.errors):
                path = f"{wanted.path}, {RULES}.{position}.{error['field']}".rstrip(".")
                place = item.place_of(error["field"])
                self.problems.append(Problem(place, path, error["message"]))

    # --- Differences ------------------------------------------------------------------------------

    def _plan_change(
        self,
        wanted: _Wanted,
        record: Document,
        new_secrets: Mapping[str, str],
        rules: list[ColumnMapping] | None,
    ) -> None:
        before = self.snapshot.form(wanted.kind, _loaded(wanted)) if wanted.stored else {}
        after = self._form_after(wanted, record, rules or [])
        fields = list(_differences(before, after, new_secrets))
        if wanted.stored and not fields:
            self.plan.unchanged += 1
            return
        if before.get(RULES) == after.get(RULES):
            rules = None
        action = Action.CHANGE if wanted.stored else Action.CREATE
        change = Change(action, wanted.kind, wanted.name, record, fields, rules)
        self.plan.changes.append(change)

    def _form_after(self, wanted: _Wanted, record: Document, rules: list[ColumnMapping]) -> Form:
        document = {"_id": wanted.id, **record.to_document()}
        snapshot = self.snapshot
        stored_rules = [rule.to_document() for rule in rules]
        return kinds.form_of(
            wanted.kind, document, snapshot.names, snapshot.variables, stored_rules
        )

    def _plan_deletions(self) -> None:
        for kind in reversed(KINDS):
            if kind.section in self.listed:
                self._plan_deletions_of(kind)

    def _plan_deletions_of(self, kind: Kind) -> None:
        for name, document in sorted(
            self.stored[kind.section].items(), key=lambda item: str(item[0])
        ):
            if name in self.wanted[kind.section]:
                continue
            record = kind.model.from_document(document)
            self.plan.changes.append(Change(Action.DELETE, kind, str(name), record))
            self.problems += self._users_that_stay(kind, str(name), document["_id"])

    def _users_that_stay(self, kind: Kind, name: str, identifier: ObjectId) -> Iterator[Problem]:
        """Yield the records, in sections that the file leaves alone, which use one to delete."""
        for user in KINDS:
            for reference, section in user.references.items():
                if section != kind.section or user.section in self.listed:
                    continue
                column = user.column(reference)
                for document in self.snapshot.documents[user.section]:
                    if document.get(column) == identifier:
                        said = f'It would go, but the {user.noun} "{document.get("name")}" uses it.'
                        yield Problem((1, 1), f'{kind.noun} "{name}"', said)


class _Draft:
    """One record of the file on its way through its serializer."""

    def __init__(self, wanted: _Wanted, planner: _Planner) -> None:
        self.wanted, self.planner = wanted, planner
        self.kind = wanted.kind
        self.node = wanted.node
        self.problems: list[Problem] = []
        self.new_secrets: dict[str, str] = {}
        """The references of the secrets that differ from the stored ones, by field."""
        self.instance = self.kind.model.from_document(wanted.stored) if wanted.stored else None

    def checked(self) -> Document:
        """Return the record as the file wants it; what is wrong is in `problems`."""
        self._reset_absent_fields()
        serializer = self.kind.serializer(self.instance, data=self._data())
        serializer.is_valid()
        said_already = {problem.path for problem in self.problems}
        for error in flattened(serializer.errors):
            if error["code"] == RULES_ARE_REPLACED or self._path(error["field"]) in said_already:
                continue
            self._note(error["field"], error["message"])
        if self.kind.section == "schemas" and self.instance:
            self._check_growth(serializer.record)
        return serializer.record

    def _path(self, field_path: str) -> str:
        if field_path in ("", "name"):
            return self.wanted.path
        head, dot, rest = field_path.partition(".")
        return f"{self.wanted.path}, {self.kind.in_file(head)}{dot}{rest}"

    def _note(self, field_path: str, message: str) -> None:
        head, dot, rest = field_path.partition(".")
        in_file = f"{self.kind.in_file(head)}{dot}{rest}"
        is_there = self.kind.in_file(head) in self.node.value
        place = self.node.place_of(in_file) if is_there else self.wanted.place
        self.problems.append(Problem(place, self._path(field_path), message))

    def _reset_absent_fields(self) -> None:
        """Give what the file leaves out its default: the file says all there is to a record."""
        for name, declared in self.kind.fields.items():
            if self.instance and name not in self.node.value and not declared.required:
                model_field = self.kind.model_field(name)
                setattr(self.instance, model_field.attname, model_field.get_default())

    def _data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"name": self.wanted.name}
        for name, node in self.node.value.items():
            if name in self.kind.references:
                data |= self._reference(name, node)
            elif name in self.kind.secrets:
                data |= self._secret(name, node)
            elif name in self.kind.fields:
                data[name] = node.plain()
            elif not (name == RULES and self.kind.section == "mappings"):
                self._note(name, f"A {self.kind.noun} has no such field.")
        if self.instance:
            # Absent or empty, a secret that every record has is kept.
            data = {
                name: "" for name in self.kind.secrets if self.kind.fields[name].required
            } | data
        return data

    def _reference(self, name: str, node: Node) -> dict[str, str]:
        found = self.planner.resolve(self.kind.references[name], node.value)
        if isinstance(found, str):
            self._note(name, found)
            return {}
        return {f"{name}_id": str(found)}

    def _secret(self, name: str, node: Node) -> dict[str, Any]:
        if node.value is None:
            return {name: None}
        reference = VARIABLE.match(node.value) if isinstance(node.value, str) else None
        if not reference:
            self._note(name, "Expected a reference such as ${CRM_PASSWORD}, not a secret itself.")
            return {}
        value = self.planner.environment.get(reference[1], "")
        held = self._held(name)
        if not value and not held:
            self._note(name, f"Set {reference[1]} in the environment.")
            return {}
        if not value:
            return {}
        if not _opens_to(held, value):
            self.new_secrets[name] = node.value
        # Also the one that is stored: a connection that leads elsewhere needs it said again.
        return {name: value}

    def _held(self, name: str) -> Secret | None:
        return getattr(self.instance, name, None) if self.instance else None

    def _check_growth(self, schema: Any) -> None:
        before = (self.wanted.stored or {}).get("columns") or []
        after = schema.to_document()["columns"]
        for change in evolution.changed_types(before, after):
            said = f'"{change.name}" is {change.old} and cannot become {change.new}.'
            self._note(f"columns.{change.position}.data_type", said)
        if gone := evolution.dropped(before, after):
            try:
                schema.refuse_if_used()
            except InUse as used:
                self._note("columns", f"Drops {', '.join(gone)}. {used.detail}")


class _AnyName(set[str]):
    """The columns of a schema that nobody knows: that is told elsewhere."""

    def __contains__(self, name: object) -> bool:
        return True


def _opens_to(secret: Secret | None, plain: str) -> bool:
    try:
        return secret is not None and secret.reveal() == plain
    except UnreadableSecret:
        return False


def _loaded(wanted: _Wanted) -> Stored:
    """Return the stored document, defaults filled in: a file that says them changes nothing."""
    return wanted.kind.model.from_document(wanted.stored or {}).to_document() | {"_id": wanted.id}


def _best_effort(record: Document) -> Stored:
    """Return a record's document for the checks of others; one that is all wrong has none."""
    try:
        return record.to_document()
    except Exception:
        return {}


def _differences(
    before: Form, after: Form, new_secrets: Mapping[str, str]
) -> Iterator[FieldChange]:
    for name in dict.fromkeys([*after, *before]):
        if before.get(name) != after.get(name) or name in new_secrets:
            after_it = new_secrets.get(name, after.get(name))
            yield FieldChange(name, before.get(name), after_it)
