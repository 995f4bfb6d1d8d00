"""Compares a file with the store: what would be created, changed and deleted; and what is wrong.

Everything is checked by the API's own serializers, before anything is written. References are by
name, to records of the file or, unless others are deleted, of the store.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from bson import ObjectId

from common.api.problems import flattened
from common.documents import store
from common.documents.models import Document, RuleErrors
from common.documents.references import identifier_of
from common.documents.store import Stored
from mappings import proof, source
from mappings.models import ColumnMapping, RuleKind, column_names
from mappings.rules import MAX_RULES
from mappings.serializers import ColumnMappingSerializer
from mappings.source import Answer
from mappings.validation import Targets
from portability import kinds
from portability.draft import IS_NEWER, Draft, Entry
from portability.export import Snapshot
from portability.kinds import (
    BY_SECTION,
    KINDS,
    RULE_OPTIONS_OF_VERSION_1,
    RULES,
    VERSION,
    Form,
    Kind,
)
from portability.text import Node, Place, Problem, Problems, read

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
    """One record to write or delete, and for a mapping its rules, None to keep them.

    The new rules take the place of `stored_rules`, if these are still all there are.
    """

    action: Action
    kind: Kind
    name: str
    record: Document
    fields: list[FieldChange] = field(default_factory=list)
    rules: list[ColumnMapping] | None = None
    stored_rules: list[Stored] = field(default_factory=list)


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
    ids: Mapping[tuple[str, str], ObjectId] | None = None,
    advance: Advance = lambda count: None,
) -> Plan:
    """Return what applying a file would do; with `prune`, also to records it does not name.

    `only` tells, where that is known, which names of the store have to be read. `ids` are those
    that new records get, by section and name; all others get one of their own.

    Raises Problems, all of them.
    """
    tree = read(content)
    planner = Planner(Snapshot(only), environment, ids or {}, prune=prune)
    planner.take(tree)
    planner.check(advance)
    if planner.problems:
        raise Problems(planner.problems)
    return planner.plan


class Planner:
    def __init__(
        self,
        snapshot: Snapshot,
        environment: Environment,
        ids: Mapping[tuple[str, str], ObjectId],
        *,
        prune: bool,
    ) -> None:
        self.snapshot = snapshot
        self.environment = environment
        self.ids = ids
        self.prune = prune
        self.version = VERSION
        self.problems: list[Problem] = []
        self.plan = Plan()
        self.entries: dict[str, dict[str, Entry]] = {kind.section: {} for kind in KINDS}
        self.listed: set[str] = set()
        """The sections that the file has; of others nothing is deleted."""
        self.pending: dict[ObjectId, Stored] = {}
        self.silent: dict[ObjectId, Answer] = {}
        """The answers of the connections that gave none, so that each is waited for once."""
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
        sections = dict(tree.value)
        self._take_version(sections.pop("version", None))
        for section, node in sections.items():
            if section not in BY_SECTION:
                there_are = f"There is no such section; there are {', '.join(BY_SECTION)}."
                self.problems.append(Problem(tree.keys[section], section, there_are))
            elif not BY_SECTION[section].is_in(self.version):
                self.problems.append(Problem(tree.keys[section], section, IS_NEWER))
            else:
                self._take_section(BY_SECTION[section], node)

    def _take_version(self, node: Node | None) -> None:
        self.version = 1 if node is None else node.value
        if node and (isinstance(node.value, bool) or node.value not in (1, VERSION)):
            self.version = VERSION
            self._note(node, "version", f"Expected {VERSION}, or 1 for a file of the older form.")

    def _take_section(self, kind: Kind, section: Node) -> None:
        self.listed.add(kind.section)
        if section.value is None:
            return
        if not isinstance(section.value, dict):
            self._note(section, kind.section, "Expected records by their names.")
            return
        for written, node in section.value.items():
            self._take_record(kind, written, node, section.keys[written])

    def _take_record(self, kind: Kind, written: str, node: Node, place: Place) -> None:
        name = self._name(kind.section, written)
        stored = self.stored[kind.section].get(name)
        identifier = stored["_id"] if stored else self.ids.get((kind.section, name)) or ObjectId()
        self.snapshot.names[kind.section].setdefault(identifier, name)
        entry = Entry(kind, name, node, place, stored, identifier)
        if name in self.entries[kind.section]:
            self.problems.append(Problem(place, entry.path, "It stands here twice."))
        self.entries[kind.section][name] = entry
        if not isinstance(node.value, dict):
            self.problems.append(Problem(place, entry.path, "Expected its fields."))
        elif name != name.strip() and not stored:
            message = "The name begins or ends with white space."
            self.problems.append(Problem(place, entry.path, message))

    def _name(self, section: str, written: str) -> str:
        """Return the name that a record is known by: that of the file, composed where it is new."""
        return written if written in self.stored[section] else unicodedata.normalize("NFC", written)

    def _note(self, node: Node, path: str, message: str) -> None:
        self.problems.append(Problem(node.place, path, message))

    # --- Checks -----------------------------------------------------------------------------------

    def check(self, advance: Advance) -> None:
        """Check every record, each as if those before it were stored; plan what differs."""
        self.snapshot.variables = kinds.variables_for(
            {
                section: {*entries, *self.snapshot.names[section].values()}
                for section, entries in self.entries.items()
            }
        )
        with store.as_if_stored(self.pending):
            for kind in KINDS:
                for entry in self.entries[kind.section].values():
                    if isinstance(entry.node.value, dict):
                        self._check_record(entry)
                    advance(1)
        if self.prune:
            self._plan_deletions()

    def _check_record(self, entry: Entry) -> None:
        draft = Draft(entry, self)
        record = draft.checked()
        record.pk = entry.id
        rules = self._checked_rules(entry, record) if entry.kind.section == "mappings" else None
        if entry.kind.section == "mappings" and not draft.problems:
            self._prove(entry, record, rules)
        self.problems += draft.problems
        self.pending[entry.id] = {"_id": entry.id, **_best_effort(record)}
        if not draft.problems:
            self._plan_change(entry, record, draft.new_secrets, rules)

    def resolve(self, section: str, name: Any) -> ObjectId | str:
        """Return the id of the record that a reference names, or what is wrong with it."""
        if not isinstance(name, str):
            return f"Expected the name of a {BY_SECTION[section].verbose_name}."
        name = self._name(section, name)
        if name in self.entries[section]:
            return self.entries[section][name].id
        found = self.stored[section].get(name)
        if found is None:
            return f'There is no {BY_SECTION[section].verbose_name} "{name}".'
        if self.prune and section in self.listed:
            return (
                f'The {BY_SECTION[section].verbose_name} "{name}" is not in the file: it would go.'
            )
        return found["_id"]

    def _prove(self, entry: Entry, mapping: Any, rules: list[ColumnMapping] | None) -> None:
        """Ask the source of a mapping that changes; one that is silent is asked once."""
        if rules is None and not mapping.has_changed(*proof.ASKED_OF):
            self._refuse(entry, proof.unasked_errors(mapping))
            return
        kept = rules
        if kept is None:
            kept = [ColumnMapping.from_document(rule) for rule in self._stored_rules(entry)]
        for rule in kept:
            rule.pk = rule.pk or ObjectId()
        answer = self._asked(mapping)
        proven = proof.prove(mapping, kept, answer)
        errors = proof.mapping_errors(mapping, proven)
        self._refuse(entry, errors)
        for error in [] if errors else proof.new_mismatches(kept, proven):
            where = f"{entry.path}, {RULES}"
            self.problems += [Problem(entry.place, where, message) for message in error.messages]
        proven.note_on(mapping)

    def _refuse(self, entry: Entry, errors: RuleErrors) -> None:
        for name, error in errors.items():
            in_file = entry.kind.in_file(f"{name}_id" if name == "target_schema" else name)
            for message in error.messages:
                place = entry.node.place_of(in_file)
                self.problems.append(Problem(place, f"{entry.path}, {in_file}", message))

    def _asked(self, mapping: Any) -> Answer:
        """Return what a source says; a connection that did not answer is not asked again."""
        identifier = mapping.source_connection_id
        if identifier in self.silent:
            return replace(
                self.silent[identifier],
                query=source.digest(identifier, mapping.source_query),
            )
        answer = source.ask(identifier, mapping.source_query)
        if answer.survey is None and not answer.refused and answer.code != "busy":
            self.silent[identifier] = answer
        return answer

    # --- Rules of mappings ------------------------------------------------------------------------

    def _checked_rules(self, entry: Entry, mapping: Any) -> list[ColumnMapping] | None:
        """Return the rules that the file gives a mapping, None where it has them already."""
        node = entry.node.value.get(RULES)
        items = [] if node is None or node.value is None else node.value
        if not isinstance(items, list):
            self._note(node, f"{entry.path}, {RULES}", "Expected a list of rules.")
            return None
        if self._has_these_rules(entry, mapping, [item.plain() for item in items]):
            return None
        if len(items) > MAX_RULES:
            said = f"A mapping has at most {MAX_RULES} rules; here are {len(items)}."
            self._note(node, f"{entry.path}, {RULES}", said)
            return None
        schema = mapping.target_schema_id
        targets = Targets(column_names(schema) if schema else _AnyName(), {})
        return list(self._valid_rules(entry, items, targets))

    def _has_these_rules(self, entry: Entry, mapping: Any, forms: list[Any]) -> bool:
        """Tell whether the rules are stored like this: under older rules, too, they may stay."""
        stays = entry.stored and not mapping.has_changed("target_schema_id")
        return bool(stays) and forms == [
            kinds.rule_form(rule, self.version) for rule in self._stored_rules(entry)
        ]

    def _stored_rules(self, entry: Entry) -> list[Stored]:
        return self.snapshot.rules.get(entry.id, [])

    def _valid_rules(
        self, entry: Entry, items: list[Node], targets: Targets
    ) -> Iterator[ColumnMapping]:
        for position, item in enumerate(items):
            serializer = ColumnMappingSerializer(
                data=item.plain(), context={"mapping_id": entry.id, "targets": targets}
            )
            path = f"{entry.path}, {RULES}.{position}"
            self.problems += self._newer_options(item, path)
            if serializer.is_valid():
                rule: Any = serializer.record
                targets.take(rule.target_fields, f"the rule at position {position}")
                yield self._with_newer_options(entry, rule)
            for error in flattened(serializer.errors):
                place = item.place_of(error["field"])
                where = f"{path}.{error['field']}".rstrip(".")
                self.problems.append(Problem(place, where, error["message"]))

    def _newer_options(self, item: Node, path: str) -> Iterator[Problem]:
        config = item.value.get("config") if isinstance(item.value, dict) else None
        if self.version > 1 or config is None or not isinstance(config.value, dict):
            return
        for name in config.value.keys() - RULE_OPTIONS_OF_VERSION_1:
            yield Problem(config.keys[name], f"{path}.config.{name}", IS_NEWER)

    def _with_newer_options(self, entry: Entry, rule: ColumnMapping) -> ColumnMapping:
        """Return a rule with the options that an older file cannot say, as they are stored."""
        if self.version == 1 and rule.type == RuleKind.SPLIT:
            for stored in self._stored_rules(entry):
                before = ColumnMapping.from_document(stored)
                if (before.type, before.target_fields) == (rule.type, rule.target_fields):
                    rule.config.overflow = before.config.overflow
        return rule

    # --- Differences ------------------------------------------------------------------------------

    def _plan_change(
        self,
        entry: Entry,
        record: Document,
        new_secrets: Mapping[str, str],
        rules: list[ColumnMapping] | None,
    ) -> None:
        before = self.snapshot.form(entry.kind, _loaded(entry)) if entry.stored else {}
        after = self._form_after(entry, record, rules)
        fields = list(_differences(before, after, new_secrets))
        if entry.stored and not fields:
            self.plan.unchanged += 1
            return
        if before.get(RULES) == after.get(RULES):
            rules = None
        action = Action.CHANGE if entry.stored else Action.CREATE
        stored_rules = self._stored_rules(entry)
        change = Change(action, entry.kind, entry.name, record, fields, rules, stored_rules)
        self.plan.changes.append(change)

    def _form_after(
        self, entry: Entry, record: Document, rules: list[ColumnMapping] | None
    ) -> Form:
        snapshot = self.snapshot
        document = {"_id": entry.id, **record.to_document()}
        documents = (
            self._stored_rules(entry) if rules is None else [rule.to_document() for rule in rules]
        )
        return kinds.form_of(entry.kind, document, snapshot.names, snapshot.variables, documents)

    def _plan_deletions(self) -> None:
        for kind in reversed(KINDS):
            if kind.section in self.listed:
                self._plan_deletions_of(kind)

    def _plan_deletions_of(self, kind: Kind) -> None:
        for name, document in sorted(
            self.stored[kind.section].items(), key=lambda item: str(item[0])
        ):
            if name in self.entries[kind.section]:
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
                if user.refers_to_many(reference):
                    continue
                column = user.column(reference)
                for document in self.snapshot.documents[user.section]:
                    if identifier_of(document.get(column)) == identifier:
                        it = f'{user.verbose_name} "{document.get("name")}"'
                        said = f"It would go, but the {it} uses it."
                        yield Problem((1, 1), f'{kind.verbose_name} "{name}"', said)


class _AnyName(set[str]):
    """The columns of a schema that nobody knows: that is told elsewhere."""

    def __contains__(self, name: object) -> bool:
        return True


def _loaded(entry: Entry) -> Stored:
    """Return the stored document, defaults filled in: a file that says them changes nothing."""
    return entry.kind.model.from_document(entry.stored or {}).to_document() | {"_id": entry.id}


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
