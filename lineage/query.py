"""The lineage of a query: each of its columns back to columns of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lineage.flows import UNKNOWN, Flow, Source
from lineage.scope import STAR, Columns, Names, Scope
from lineage.walk import Walk

MOST_TABLES = 200
"""So many tables of a query are described."""


class UnreadableQuery(ValueError):
    """A query whose lineage cannot be told; the message says why."""


@dataclass(frozen=True)
class Column:
    """A column of a query.

    `sources` are columns whose values flow in, `indirect` those that only choose rows or branches,
    as far as they are known. `transformation` is `identity`, `expression`, `aggregate`, `window`,
    `constant` or `unknown`: what is not known is never guessed.
    """

    name: str
    transformation: str
    sources: tuple[Source, ...] = ()
    indirect: tuple[Source, ...] = ()


def columns_of(
    sql: str,
    dialect: str,
    tables: Mapping[str, Mapping[str, Sequence[str]]],
    *,
    search_path: Sequence[str] = (),
    names: Sequence[str] | None = None,
    indirect: bool = False,
) -> tuple[Column, ...]:
    """Return the columns of one query, in order, with where each comes from.

    `dialect` is `postgres` or `mysql`. `tables` are the columns of the tables that are described,
    by schema and table; a table without a schema is looked for in `search_path`. `names` are those
    that the database gave the query's columns, where it was asked; without them a `*` over a table
    that nobody described is one column named `*`. `indirect` also tells columns that only choose.

    Raises UnreadableQuery.
    """
    try:
        tree = _one_query(sql, dialect)
        found = Walk(Names(dialect, tables, search_path)).query(tree, Scope()).expanded
    except RecursionError:
        raise UnreadableQuery("The query is nested too deep.") from None
    if names is not None:
        found = _by_names(found, names, dialect)
    return tuple(_column(name, flow, indirect) for name, flow in found)


def tables_of(sql: str, dialect: str) -> list[tuple[str | None, str]]:
    """Return the tables that a query names, each once: schema, or None, and name.

    Among them are names that the query itself gives, as of a WITH. Raises UnreadableQuery.
    """
    names = Names(dialect, {}, ())
    try:
        nodes = list(_one_query(sql, dialect).find_all(exp.Table))
    except RecursionError:
        raise UnreadableQuery("The query is nested too deep.") from None
    found = (
        (names.of(node.args.get("db")) or None, names.of(node.this))
        for node in nodes
        if isinstance(node.this, exp.Identifier)
    )
    return list(dict.fromkeys(found))[:MOST_TABLES]


def _one_query(sql: str, dialect: str) -> exp.Expr:
    """Return the tree of a query, whatever semicolons and comments stand behind it."""
    try:
        trees = sqlglot.parse(sql, dialect=dialect)
    except (SqlglotError, AttributeError, TypeError, ValueError) as wrong:
        # On some text that is no SQL its parser stumbles before it can say so.
        raise UnreadableQuery("The query could not be read.") from wrong
    found = [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(found) != 1:
        raise UnreadableQuery(f"Lineage is told of one query; found {len(found)}.")
    return found[0]


def _by_names(found: Columns, names: Sequence[str], dialect: str) -> Columns:
    """Return the flows under the names that the database gave: by position, else by name."""
    if len(found) == len(names) and all(name != STAR for name, _ in found):
        return [(name, flow) for name, (_, flow) in zip(names, found, strict=True)]
    known: dict[str, Flow] = {}
    for name, flow in found:
        known[name] = UNKNOWN if name in known else flow
    fold = str.lower if dialect == "mysql" else str
    return [(name, known.get(fold(name), UNKNOWN)) for name in names]


def _column(name: str, flow: Flow, indirect: bool) -> Column:
    chosen_by = flow.indirect - flow.sources if indirect else ()
    return Column(name, flow.kind.name.lower(), _sorted(flow.sources), _sorted(chosen_by))


def _sorted(sources: Iterable[Source]) -> tuple[Source, ...]:
    return tuple(sorted(sources, key=lambda one: (one.schema or "", one.table, one.column)))
