"""What parts of sqlglot's trees are."""

from __future__ import annotations

import logging

from sqlglot import ErrorLevel, exp

# It writes statements that it does not know into the log.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

AGGREGATES = frozenset({
    "any_value", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "every", "json_agg",
    "json_arrayagg", "json_object_agg", "json_objectagg", "jsonb_agg", "jsonb_object_agg", "mode",
    "range_agg", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope",
    "regr_sxx", "regr_sxy", "regr_syy", "std", "xmlagg",
})  # fmt: skip
"""Aggregates that sqlglot has no class for."""

SINGLE_COLUMN = (exp.Unnest, exp.GenerateSeries, exp.ExplodingGenerateSeries)
KEYWORDS = frozenset({
    "current_catalog", "current_role", "current_schema", "localtime", "localtimestamp", "user",
})  # fmt: skip
"""Functions that PostgreSQL writes without brackets."""


def is_limited(node: exp.Expr) -> bool:
    return bool(node.args.get("limit") or node.args.get("offset"))


def is_aggregate(node: exp.Expr) -> bool:
    if isinstance(node, exp.AggFunc | exp.WithinGroup):
        return True
    name = node.name if isinstance(node, exp.Anonymous) else node.key
    return name.lower() in AGGREGATES


def cells(row: exp.Expr) -> list[exp.Expr]:
    """Return the values of a row of VALUES; MySQL writes ROW before it."""
    cells = row.expressions or [row]
    if len(cells) == 1 and isinstance(cells[0], exp.Anonymous) and cells[0].name.upper() == "ROW":
        return list(cells[0].expressions)
    return list(cells)


def first_of(node: exp.Expr) -> exp.Expr:
    """Return the first query of a union: in a recursive one, what does not read itself."""
    while isinstance(node, exp.SetOperation):
        node = node.this
    return node


def branches_of(node: exp.Expr) -> tuple[list[exp.Expr], list[exp.Expr]]:
    """Return the values that an expression takes one of, and what it chooses by."""
    if isinstance(node, exp.Nullif | exp.Filter):
        return [node.this], [node.expression]
    ifs = node.args["ifs"] if isinstance(node, exp.Case) else [node]
    operand = [node.this] if isinstance(node, exp.Case) and node.this is not None else []
    other = node.args.get("default" if isinstance(node, exp.Case) else "false")
    values = [one.args["true"] for one in ifs] + ([other] if other is not None else [])
    return values, operand + [one.this for one in ifs]


def sql_of(node: exp.Expr, dialect: str) -> str:
    """Return a part of a query as text again, in small letters."""
    return node.sql(dialect, unsupported_level=ErrorLevel.IGNORE).lower()
