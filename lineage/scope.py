"""What names mean at a place in a query: tables, their columns, and those around them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from sqlglot import exp

from lineage.flows import UNKNOWN, Flow, Kind, Source, Sources, together

Columns = list[tuple[str, Flow]]
STAR = "*"


@dataclass
class Relation:
    """What stands in FROM, or what a query returns.

    An open one has columns beside those listed. `origin` is the table that nobody described which
    they are of, as schema and name; None where that is not known either.
    """

    columns: Columns
    name: str = ""
    schema: str | None = None
    is_open: bool = False
    origin: tuple[str | None, str] | None = None
    chosen: Sources = frozenset()
    """The columns that choose its rows, also of the columns that are not listed."""

    @cached_property
    def listed(self) -> dict[str, Flow]:
        """Return the flows by name; a name that is there twice means neither."""
        found: dict[str, Flow] = {}
        for name, flow in self.columns:
            found[name] = UNKNOWN if name in found else flow
        return found

    def column(self, name: str) -> Flow:
        if name in self.listed or not self.is_open or self.origin is None:
            return self.listed.get(name, UNKNOWN)
        return Flow(Kind.IDENTITY, frozenset({Source(*self.origin, name)}), self.chosen)

    @property
    def row(self) -> Flow:
        """Return what flows into a value made of a whole row."""
        flow = together(flow for _, flow in self.columns).made()
        return together([flow, UNKNOWN]) if self.is_open else flow

    @property
    def expanded(self) -> Columns:
        """Return what `*` stands for; the columns that are not known are one named so."""
        return [*self.columns, *([(STAR, UNKNOWN)] if self.is_open else [])]

    def add_all(self, other: Relation) -> None:
        """Add the columns of another to those of a query that is being read."""
        self.columns.extend(other.columns)
        if other.is_open:
            self.origin = None if self.is_open else other.origin
            self.chosen |= other.chosen
            self.is_open = True

    def chosen_by(self, chosen: Sources) -> Relation:
        """Return the relation with columns that choose its rows."""
        columns = [(name, flow.chosen_by(chosen)) for name, flow in self.columns]
        return replace(self, columns=columns, chosen=self.chosen | chosen)

    def called(self, name: str, columns: Sequence[str] = ()) -> Relation:
        """Return the relation under an alias, its first columns under names of their own."""
        renamed = [
            (columns[position] if position < len(columns) else own, flow)
            for position, (own, flow) in enumerate(self.columns)
        ]
        # Names given to columns that are not known: they are the first of those, whichever.
        more = [(given, UNKNOWN) for given in columns[len(renamed) :]]
        return replace(self, name=name, schema=None, columns=[*renamed, *more])


@dataclass
class Scope:
    """The names that one SELECT sees: its own relations, then those of the query around it.

    `star` is what `*` stands for, `merged` the columns that USING made one of two.
    """

    parent: Scope | None = None
    ctes: ChainMap[str, Relation] = field(default_factory=ChainMap)
    relations: list[Relation] = field(default_factory=list)
    star: Columns = field(default_factory=list)
    merged: dict[str, Flow] = field(default_factory=dict)
    windows: dict[str, exp.Window] = field(default_factory=dict)

    @property
    def chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def inner(self) -> Scope:
        """Return an empty scope within this one."""
        return Scope(parent=self, ctes=self.ctes.new_child())

    def beside(self) -> Scope:
        """Return an empty scope that sees what this one is within, but not its relations."""
        return Scope(parent=self.parent, ctes=self.ctes.new_child())

    def bare(self, name: str) -> Flow | None:
        """Return the column of a name without a table, UNKNOWN in doubt, None where none has it."""
        for scope in self.chain:
            if name in scope.merged:
                return scope.merged[name]
            hits = [one.listed[name] for one in scope.relations if name in one.listed]
            if hits:
                # Were it in one that is open, too, the database would call the name ambiguous.
                return hits[0] if len(hits) == 1 else UNKNOWN
            if found := [one for one in scope.relations if one.is_open]:
                is_sure = len(found) == 1 and not self._is_another(name, scope.parent)
                return found[0].column(name) if is_sure else UNKNOWN
        return None

    def joined(self, name: str, is_natural: bool) -> Flow:
        """Return the column that a join takes from this side; a natural one may take another."""
        if is_natural and name not in dict(self.star):
            return UNKNOWN
        return self.bare(name) or UNKNOWN

    def _is_another(self, name: str, around: Scope | None) -> bool:
        """Tell whether a name may be a relation's, or a column's of the queries around."""
        return self.relation(name) is not None or any(
            name in scope.merged
            or any(one.is_open or name in one.listed for one in scope.relations)
            for scope in (around.chain if around else ())
        )

    def relation(self, name: str, schema: str | None = None) -> Relation | None:
        for scope in self.chain:
            for one in scope.relations:
                if one.name == name and schema in (None, one.schema):
                    return one
        return None


class Names:
    """How a database writes names, and the tables that it described."""

    def __init__(
        self,
        dialect: str,
        tables: Mapping[str, Mapping[str, Sequence[str]]],
        search_path: Sequence[str],
    ) -> None:
        self.dialect = dialect
        self.search_path = search_path
        self.tables = {
            (self.folded(schema), self.folded(table)): (schema, table, columns)
            for schema, found in tables.items()
            for table, columns in found.items()
        }

    def folded(self, name: str) -> str:
        """Return a stored name as it is compared: MySQL takes no notice of case."""
        return name.lower() if self.dialect == "mysql" else name

    def of(self, identifier: exp.Expr | str | None) -> str:
        """Return a name as the query means it: PostgreSQL's are small unless they are quoted."""
        if identifier is None or isinstance(identifier, str):
            return (identifier or "").lower()
        name = (
            self.folded(identifier.name)
            if identifier.args.get("quoted")
            else identifier.name.lower()
        )
        return _cut(name) if self.dialect == "postgres" else name

    def table(self, name: str, schema: str | None) -> Relation:
        """Return a table by its name, or what nobody described under this name."""
        for place in [schema] if schema else self.search_path:
            if found := self.tables.get((self.folded(place), name)):
                return self._described(name, *found)
        return Relation([], name, schema, is_open=True, origin=(schema, name))

    def _described(self, name: str, schema: str, table: str, columns: Sequence[str]) -> Relation:
        flows = [
            (self.folded(column), Flow(Kind.IDENTITY, frozenset({Source(schema, table, column)})))
            for column in columns
        ]
        return Relation(flows, name, self.folded(schema))


def _cut(name: str) -> str:
    """Return as much of a name as PostgreSQL keeps: 63 bytes."""
    return name.encode(errors="replace")[:63].decode(errors="ignore")
