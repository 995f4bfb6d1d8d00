"""A record of a file on its way through the API's own serializer, its references resolved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from django.conf import settings

from common.api.problems import flattened
from common.documents.models import Document
from common.documents.store import Stored
from common.exceptions import FieldError, InUse, UnreadableSecret
from common.secrets.fields import Secret
from portability.kinds import RULES, Kind
from portability.text import Node, Place, Problem
from schemas import evolution

if TYPE_CHECKING:
    from portability.plan import Planner

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}\Z", re.ASCII)
RULES_ARE_REPLACED = "missing_columns"
"""The code of a mapping's error that new rules mend."""
NEEDED_AGAIN = "password_required"
"""The code of an error that a secret mends which is stored already."""
IS_NEWER = 'Older files have none: write "version: 2" at the top.'


@dataclass
class Entry:
    """A record of the file: its stored document, if there is one, and its id here and there."""

    kind: Kind
    name: str
    node: Node
    place: Place
    stored: Stored | None
    id: ObjectId

    @property
    def path(self) -> str:
        return f'{self.kind.verbose_name} "{self.name}"'


class Draft:
    """One record of the file on its way through its serializer."""

    def __init__(self, entry: Entry, planner: Planner) -> None:
        self.entry, self.planner = entry, planner
        self.kind = entry.kind
        self.node = entry.node
        self.fields = entry.kind.fields_in(planner.version)
        self.problems: list[Problem] = []
        self.new_secrets: dict[str, str] = {}
        """The references of the secrets that differ from the stored ones, by field."""
        self.same_secrets: dict[str, str] = {}
        """The secrets that the environment has as they are stored, by field."""
        self.instance = self.kind.model.from_document(entry.stored) if entry.stored else None

    def checked(self) -> Document:
        """Return the record as the file has it; what is wrong is in `problems`."""
        self._reset_absent_fields()
        data = self._data()
        record, errors = self._validated(data)
        asked = {error["field"] for error in errors if error["code"] == NEEDED_AGAIN}
        if asked & self.same_secrets.keys():
            # It leads elsewhere, and whoever applies the file knows what would be sent there.
            record, errors = self._validated(data | self.same_secrets)
        self._take_errors(errors)
        if self.kind.section == "schemas" and self.instance:
            self._check_growth(record)
        return record

    def _validated(self, data: dict[str, Any]) -> tuple[Document, list[FieldError]]:
        serializer = self.kind.serializer(self.instance, data=data, context={"ask": None})
        serializer.is_valid()
        return serializer.record, flattened(serializer.errors)

    def _take_errors(self, errors: list[FieldError]) -> None:
        said_already = {problem.path for problem in self.problems}
        for error in errors:
            if error["code"] == RULES_ARE_REPLACED or self._path(error["field"]) in said_already:
                continue
            message = error["message"]
            if error["code"] == NEEDED_AGAIN and (variable := self._variable(error["field"])):
                message = f"{message} Set {variable} in the environment."
            self._note(error["field"], message)

    def _path(self, field_path: str) -> str:
        if field_path in ("", "name"):
            return self.entry.path
        head, dot, rest = field_path.partition(".")
        return f"{self.entry.path}, {self.kind.in_file(head)}{dot}{rest}"

    def _note(self, field_path: str, message: str) -> None:
        head, dot, rest = field_path.partition(".")
        in_file = f"{self.kind.in_file(head)}{dot}{rest}"
        is_there = self.kind.in_file(head) in self.node.value
        place = self.node.place_of(in_file) if is_there else self.entry.place
        self.problems.append(Problem(place, self._path(field_path), message))

    def _reset_absent_fields(self) -> None:
        """Give what the file leaves out its default: the file says all there is to a record."""
        for name, declared in self.fields.items():
            stays = declared.required or name in self.kind.kept_secrets
            if self.instance and name not in self.node.value and not stays:
                model_field = self.kind.model_field(name)
                setattr(self.instance, model_field.attname, model_field.get_default())

    def _data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"name": self.entry.name}
        for name, node in self.node.value.items():
            if name in self.fields:
                data |= self._field(name, node)
            elif name in self.kind.fields:
                self._note(name, IS_NEWER)
            elif not (name == RULES and self.kind.section == "mappings"):
                self._note(name, f"A {self.kind.verbose_name} has no such field.")
        if self.instance:
            # Absent or empty, a secret that every record has is kept.
            data = dict.fromkeys(self.kind.kept_secrets, "") | data
        return data

    def _field(self, name: str, node: Node) -> dict[str, Any]:
        if name in self.kind.references:
            return self._reference(name, node)
        if name in self.kind.secrets:
            return self._secret(name, node)
        return {name: node.plain()}

    def _reference(self, name: str, node: Node) -> dict[str, Any]:
        if self.kind.refers_to_many(name) and node.value is None:
            return {self.kind.api_name(name): None}
        if not self.kind.refers_to_many(name):
            found = self._resolved(name, name, node)
            return {self.kind.api_name(name): found} if found else {}
        if not isinstance(node.value, list):
            self._note(name, "Expected a list of names.")
            return {}
        named = [
            self._resolved(name, f"{name}.{place}", one) for place, one in enumerate(node.value)
        ]
        return {self.kind.api_name(name): [one for one in named if one]}

    def _resolved(self, reference: str, path: str, node: Node) -> str | None:
        found = self.planner.resolve(self.kind.references[reference], node.value)
        if isinstance(found, str):
            self._note(path, found)
            return None
        return str(found)

    def _secret(self, name: str, node: Node) -> dict[str, Any]:
        if node.value is None:
            return {name: None}
        variable = self._variable(name)
        if not variable:
            usual = f"${{{self._usual_variable(name)}}}"
            self._note(name, f"Expected a reference such as {usual}, not a secret itself.")
            return {}
        if problem := self._problem_of(variable, name):
            self._note(name, problem)
            return {}
        value = self.planner.environment.get(variable, "")
        held = self._held(name)
        if not value and not held:
            self._note(name, f"Set {variable} in the environment.")
            return {}
        if value and _opens_to(held, value):
            # As it is, so is its token.
            self.same_secrets[name] = value
            return {}
        if value:
            self.new_secrets[name] = node.value
        return {name: value}

    def _variable(self, name: str) -> str | None:
        """Return the environment variable that the file names for a secret."""
        node = self.node.value.get(name)
        reference = VARIABLE.match(node.value) if node and isinstance(node.value, str) else None
        return reference[1] if reference else None

    def _problem_of(self, variable: str, name: str) -> str | None:
        """Return why a variable is not read, and what to write: the service's own never is."""
        prefix = settings.SECRET_ENV_PREFIX
        own = variable in settings.OWN_VARIABLES
        if variable.startswith(prefix) and variable != prefix and not own:
            return None
        new = self._usual_variable(name) if own else prefix + variable
        why = "It is the service's own." if own else f"Only those that begin with {prefix} are."
        return f"{variable} is not read from the environment. {why} Name it {new}: ${{{new}}}."

    def _usual_variable(self, name: str) -> str:
        """Return the variable that an export writes for a secret of this record."""
        variables = self.planner.snapshot.variables
        return variables[self.kind.section, self.entry.name, name]

    def _held(self, name: str) -> Secret | None:
        return getattr(self.instance, name, None) if self.instance else None

    def _check_growth(self, schema: Any) -> None:
        before = (self.entry.stored or {}).get("columns") or []
        after = schema.to_document()["columns"]
        for change in evolution.changed_types(before, after):
            said = f'"{change.name}" is {change.old} and cannot become {change.new}.'
            self._note(f"columns.{change.position}.data_type", said)
        if gone := evolution.dropped(before, after):
            try:
                schema.refuse_if_used()
            except InUse as used:
                self._note("columns", f"Drops {', '.join(gone)}. {used.detail}")


def _opens_to(secret: Secret | None, plain: str) -> bool:
    try:
        return secret is not None and secret.reveal() == plain
    except UnreadableSecret:
        return False
