"""Writes the store's configuration as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TextIO

from common.documents import store
from common.documents.store import Stored
from mappings.rules import rules_by_mapping
from portability import kinds, text
from portability.kinds import KINDS, Form, Kind, Names, Variables

HEADER = """\
# The configuration of an ETL engine. Apply it with: python manage.py import_config FILE
# Secrets are read from the environment variables that stand in their place.
"""

Advance = Callable[[int], None]


class Snapshot:
    """The store's records; what refers to others is read first, so that those are there.

    With `only`, those of these names.
    """

    def __init__(self, only: Iterable[str] | None = None) -> None:
        condition = {} if only is None else {"name": {"$in": list(only)}}
        read = {kind.section: kind.documents(condition) for kind in reversed(KINDS)}
        mappings = None if only is None else [found["_id"] for found in read["mappings"]]
        with store.command_timeout():
            self.rules = rules_by_mapping(mappings)
        self.documents = {kind.section: read[kind.section] for kind in KINDS}
        self.names: Names = {
            section: {found["_id"]: found["name"] for found in documents if _has_name(found)}
            for section, documents in self.documents.items()
        }
        self.variables: Variables = kinds.variables_for(
            {section: named.values() for section, named in self.names.items()}
        )

    def form(self, kind: Kind, document: Stored) -> Form:
        rules = self.rules.get(document["_id"], [])
        return kinds.form_of(kind, document, self.names, self.variables, rules)


def export(out: TextIO, advance: Advance = lambda count: None) -> list[str]:
    """Write all records, by name, and return what could not be written, one sentence each.

    Secrets are neither written nor opened, so that an unreadable one is no obstacle.
    """
    snapshot = Snapshot()
    out.write(HEADER)
    text.write({"version": kinds.VERSION}, out)
    lost: list[str] = []
    for kind in KINDS:
        out.write("\n")
        text.write({kind.section: _section(snapshot, kind, lost, advance)}, out)
    return lost


def _section(snapshot: Snapshot, kind: Kind, lost: list[str], advance: Advance) -> dict[str, Any]:
    forms = {}
    for document in sorted(snapshot.documents[kind.section], key=_by_name):
        advance(1)
        if not _has_name(document):
            lost.append(f"The {kind.verbose_name} {document['_id']} has no name.")
            continue
        forms[document["name"]] = form = snapshot.form(kind, document)
        this = f'The {kind.verbose_name} "{document["name"]}"'
        lost += [
            f"{this} refers to a {reference.replace('_', ' ')} that is gone."
            for reference in kind.references
            if reference not in form and not _refers_to_none(kind, document, reference)
        ]
    return forms


def _refers_to_none(kind: Kind, document: Stored, reference: str) -> bool:
    field = kind.model_field(reference)
    return field.null and document.get(str(field.column)) is None


def _has_name(document: Stored) -> bool:
    return isinstance(document.get("name"), str) and bool(document["name"])


def _by_name(document: Stored) -> str:
    return str(document.get("name"))
