"""The walk through a query's tree: relations of what stands in FROM, flows of expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlglot import exp

from lineage.flows import CONSTANT, UNKNOWN, Flow, Kind, Sources, together
from lineage.nodes import (
    KEYWORDS,
    SINGLE_COLUMN,
    branches_of,
    cells,
    first_of,
    is_aggregate,
    is_limited,
    sql_of,
)
from lineage.scope import Columns, Names, Relation, Scope

MOST_ROUNDS = 100
"""How often a recursive query is walked through until nothing new flows."""

CHOOSING = ("where", "group", "having", "qualify")


class Walk:
    def __init__(self, names: Names) -> None:
        self.names = names

    # --- Queries ---------------------------------------------------------------------------------

    def query(self, node: exp.Expr, outer: Scope) -> Relation:
        """Return what a query returns, as a relation without a name."""
        scope = self._with_ctes(node, outer)
        match node:
            case exp.Select():
                return self._select(node, scope)
            case exp.SetOperation():
                return self._chosen(self._set_operation(node, scope), node, scope)
            case exp.Subquery():
                return self._chosen(self.query(node.this, scope), node, scope)
            case exp.Values():
                return self._values(node, scope)
            case exp.Table():
                inner = scope.beside()
                chosen = self._join_in(node, inner)
                return _all_of(inner).chosen_by(chosen)
        return Relation([], is_open=True)

    def _with_ctes(self, node: exp.Expr, outer: Scope) -> Scope:
        found = node.args.get("with_")
        if found is None:
            return outer
        scope = Scope(
            outer.parent, outer.ctes.new_child(), outer.relations, outer.star, outer.merged
        )
        for cte in found.expressions:
            name, columns = self._alias(cte)
            if found.args.get("recursive") and isinstance(cte.this, exp.SetOperation):
                scope.ctes[name] = self._recursive(cte.this, name, columns, scope)
            else:
                scope.ctes[name] = self.query(cte.this, scope).called(name, columns)
        return scope

    def _recursive(
        self, node: exp.SetOperation, name: str, columns: Sequence[str], scope: Scope
    ) -> Relation:
        """Return a query that may read itself: what flows in is followed until nothing is new."""
        known = self.query(first_of(node), self._with_ctes(node, scope)).called(name, columns)
        for _ in range(MOST_ROUNDS):
            within = Scope(scope.parent, scope.ctes.new_child({name: known}), scope.relations)
            again = self.query(node, within).called(name, columns)
            if again.columns == known.columns:
                return known
            known = again
        return Relation([(name, UNKNOWN) for name, _ in known.columns], name)

    def _set_operation(self, node: exp.SetOperation, scope: Scope) -> Relation:
        left, right = self.query(node.this, scope), self.query(node.expression, scope)
        if left.is_open or right.is_open or len(left.columns) != len(right.columns):
            unknown = [(name, UNKNOWN) for name, _ in left.columns]
            return Relation(unknown, is_open=True)
        combine = _either if isinstance(node, exp.Union) else _left_chosen_by_right
        pairs = zip(left.columns, right.columns, strict=True)
        return Relation([(name, combine(one, other)) for (name, one), (_, other) in pairs])

    def _chosen(self, found: Relation, node: exp.Expr, scope: Scope) -> Relation:
        """Return a relation whose rows are chosen by the order and limit of the query around it."""
        if not is_limited(node) or not node.args.get("order"):
            return found
        within = scope.beside()
        within.relations.append(found)
        terms = [self._term(term, within, found.columns) for term in node.args["order"].expressions]
        return found.chosen_by(together(terms).all)

    def _values(self, node: exp.Values, scope: Scope) -> Relation:
        first = "column_0" if self.names.dialect == "mysql" else "column1"
        rows = [cells(row) for row in node.expressions]
        flows = [
            together(self.flow(cell, scope) for cell in column)
            for column in zip(*rows, strict=False)
        ]
        start = int(first[-1])
        return Relation([(f"{first[:-1]}{start + i}", flow) for i, flow in enumerate(flows)])

    # --- SELECT ----------------------------------------------------------------------------------

    def _select(self, node: exp.Select, outer: Scope) -> Relation:
        scope = outer.inner()
        scope.windows = {self.names.of(one.this): one for one in node.args.get("windows") or ()}
        chosen = set(self._from(node, scope))
        found = Relation([])
        for projection in node.expressions:
            self._project(projection, scope, found)
        chosen |= self._choosing(node, scope, found.columns)
        return found.chosen_by(frozenset(chosen))

    def _from(self, node: exp.Select, scope: Scope) -> Sources:
        """Put what stands in FROM into the scope; return the columns that joins choose by."""
        source = node.args.get("from_")
        if source is not None:
            return self._join_in(source.this, scope) | self._joins(node, scope)
        return frozenset()

    def _project(self, node: exp.Expr, scope: Scope, found: Relation) -> None:
        """Add what one expression of the SELECT list stands for to the columns found."""
        if isinstance(node, exp.Star):
            found.add_all(_all_of(scope))
        elif isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            found.add_all(self._relation_named(node, scope) or Relation([], is_open=True))
        else:
            found.columns.append((self._name_of(node), self.flow(node, scope)))

    def _choosing(self, node: exp.Select, scope: Scope, outputs: Columns) -> Sources:
        """Return the columns that choose rows: conditions, groups, and the order of a limit."""
        terms = [
            self._term(term, scope, outputs, own_first=name != "group")
            for name in CHOOSING
            if (part := node.args.get(name)) is not None
            for term in part.iter_expressions()
        ]
        distinct = node.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is not None:
            terms.append(self.flow(distinct.args["on"], scope))
        order = node.args.get("order")
        if order is not None and (is_limited(node) or (distinct and distinct.args.get("on"))):
            terms.extend(
                self._term(term, scope, outputs, own_first=True) for term in order.expressions
            )
        return together(terms).all

    def _term(self, node: exp.Expr, scope: Scope, outputs: Columns, own_first: bool = True) -> Flow:
        """Return the flow of what may be the number or the name of an output column."""
        inner = node.this if isinstance(node, exp.Ordered) else node
        if isinstance(inner, exp.Literal) and not inner.is_string:
            position = int(inner.name) - 1 if inner.name.isdigit() else -1
            return outputs[position][1] if 0 <= position < len(outputs) else CONSTANT
        if isinstance(inner, exp.Column) and not inner.args.get("table"):
            name = self.names.of(inner.this)
            named = next((flow for own, flow in outputs if own == name), None)
            own = scope.bare(name)
            for flow in (named, own) if own_first else (own, named):
                if flow is not None:
                    return flow
        return self.flow(inner, scope)

    # --- What stands in FROM ---------------------------------------------------------------------

    def _joins(self, node: exp.Expr, scope: Scope) -> Sources:
        joins = [self._join(join, scope) for join in node.args.get("joins") or ()]
        laterals = [self._join_in(one, scope) for one in node.args.get("laterals") or ()]
        return frozenset().union(*joins, *laterals)

    def _join_in(self, node: exp.Expr, scope: Scope) -> Sources:
        """Put a relation, or a join in brackets, into the scope; return what joins choose by."""
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table) and not node.alias:
            return self._join_in(node.this, scope)
        relation = self._relation(node, scope)
        scope.relations.append(relation)
        scope.star = [*scope.star, *relation.columns]
        return self._joins(node, scope)

    def _join(self, node: exp.Join, scope: Scope) -> Sources:
        left = Scope(relations=list(scope.relations), star=scope.star, merged=dict(scope.merged))
        chosen = self._join_in(node.this, scope)
        right = Scope(relations=scope.relations[len(left.relations) :])
        right.star = scope.star[len(left.star) :]
        if names := self._merged_names(node, left, right):
            chosen |= self._merge(names, node, left, right, scope)
        on = node.args.get("on")
        return chosen | self.flow(on, scope).all if on is not None else chosen

    def _merged_names(self, node: exp.Join, left: Scope, right: Scope) -> list[str]:
        if node.args.get("using"):
            return [self.names.of(name) for name in node.args["using"]]
        if node.method != "NATURAL":
            return []
        rights = {name for name, _ in right.star}
        if any(one.is_open for one in [*left.relations, *right.relations]):
            # Any of these may be in the other, too, and then be either's.
            return list(dict.fromkeys(name for name, _ in [*left.star, *right.star]))
        return [name for name, _ in left.star if name in rights]

    def _merge(
        self, names: Sequence[str], node: exp.Join, left: Scope, right: Scope, scope: Scope
    ) -> Sources:
        """Make one column of two of the same name; return the columns that the join chooses by."""
        is_natural = node.method == "NATURAL"
        pairs = {
            name: (left.joined(name, is_natural), right.joined(name, is_natural)) for name in names
        }
        merged = {name: _merged(node, *pair) for name, pair in pairs.items()}
        scope.merged |= merged
        others = [(name, flow) for name, flow in scope.star if name not in merged]
        scope.star = [*merged.items(), *others]
        return together(flow for pair in pairs.values() for flow in pair).all

    def _relation(self, node: exp.Expr, scope: Scope) -> Relation:
        name, columns = self._alias(node)
        match node:
            case exp.Lateral(this=exp.Subquery()):
                return self.query(node.this, scope).called(name, columns)
            case exp.Lateral():
                return self._function(node.this, scope, name, columns)
            case exp.Subquery() | exp.Values():
                return self.query(node, scope.beside()).called(name, columns)
            case exp.Table(this=exp.Identifier()):
                found = self._table(node, scope)
                return found.called(name, columns) if node.args.get("alias") else found
            case exp.Table(this=exp.Func()):
                return self._function(node.this, scope, name, columns)
            case exp.Unnest():
                return self._function(node, scope, name, columns)
        return Relation([(column, UNKNOWN) for column in columns], name, is_open=True)

    def _table(self, node: exp.Table, scope: Scope) -> Relation:
        name, schema = self.names.of(node.this), self.names.of(node.args.get("db")) or None
        if schema is None and name in scope.ctes:
            return scope.ctes[name].called(name)
        return self.names.table(name, schema)

    def _function(
        self, node: exp.Expr, scope: Scope, name: str, columns: Sequence[str]
    ) -> Relation:
        """Return the rows of a function: what flows into its arguments flows into each column."""
        flow = self._made_of(node.iter_expressions(), scope)
        if isinstance(node, exp.JSONTable):
            flow = self.flow(node.this, scope).made()
            # One without a name holds the columns of a nested path.
            found = [one.this for one in node.find_all(exp.JSONColumnDef) if one.name]
            columns = [self.names.of(name) for name in found]
        is_open = not columns and not isinstance(node, SINGLE_COLUMN)
        named = columns or [name or self._name_of(node)]
        flows = self._unnested(node, scope) if isinstance(node, exp.Unnest) else []
        if len(flows) != len(named):
            flows = [flow] * len(named)
        returned = list(zip(named, flows, strict=True))
        if ordinality := node.args.get("offset"):
            own = "ordinality" if ordinality is True else self.names.of(ordinality)
            returned.append((own, flow))
        return Relation(returned, name or named[0], is_open=is_open)

    def _unnested(self, node: exp.Unnest, scope: Scope) -> list[Flow]:
        """Return what flows out of each of several arrays, side by side."""
        return [self._made_of([one], scope) for one in node.expressions]

    def _alias(self, node: exp.Expr) -> tuple[str, list[str]]:
        """Return the name that a relation is given, and those of its columns."""
        alias = node.args.get("alias")
        if not isinstance(alias, exp.TableAlias):
            return "", []
        columns = [
            one.this if isinstance(one, exp.ColumnDef) else one
            for one in alias.args.get("columns") or ()
        ]
        return self.names.of(alias.this), [self.names.of(column) for column in columns]

    # --- Expressions -----------------------------------------------------------------------------

    def flow(self, node: exp.Expr, scope: Scope) -> Flow:
        """Return what flows into an expression."""
        match node:
            case exp.Column():
                return self._column(node, scope)
            case exp.Paren() | exp.Alias() | exp.Ordered():
                return self.flow(node.this, scope)
            case exp.Dot(this=exp.Paren(this=exp.Column() as row)) if relation := self._row_of(
                row, scope
            ):
                return relation.column(self.names.of(node.expression))
            case exp.Star():
                return CONSTANT
            case exp.Parameter():
                return UNKNOWN
            case exp.Query():
                return self._scalar(self.query(node, scope))
            case exp.Exists():
                return Flow(Kind.EXPRESSION, indirect=self._all(self.query(node.this, scope)))
            case exp.Case() | exp.If() | exp.Nullif() | exp.Filter():
                return self._branches(node, scope)
            case exp.Order():
                return self._ordered(node, scope)
            case exp.Window():
                by = self._made_of(self._window_terms(node, scope), scope).all
                return self.flow(node.this, scope).chosen_by(by).at_least(Kind.WINDOW)
        flow = self._made_of(node.iter_expressions(), scope)
        return flow.at_least(Kind.AGGREGATE) if is_aggregate(node) else flow

    def _made_of(self, nodes: Iterable[exp.Expr], scope: Scope) -> Flow:
        return together(self.flow(node, scope) for node in nodes).made()

    def _column(self, node: exp.Column, scope: Scope) -> Flow:
        if node.args.get("table") is not None:
            relation = self._relation_named(node, scope)
            if relation is None:
                return UNKNOWN
            is_row = isinstance(node.this, exp.Star)
            return relation.row if is_row else relation.column(self.names.of(node.this))
        name = self.names.of(node.this)
        if (
            self.names.dialect == "postgres"
            and name in KEYWORDS
            and not node.this.args.get("quoted")
        ):
            return CONSTANT
        found = scope.bare(name)
        if found is None and (relation := scope.relation(name)):
            return relation.row
        return found or UNKNOWN

    def _row_of(self, node: exp.Column, scope: Scope) -> Relation | None:
        """Return the relation whose whole row a name stands for; None where it is a column's."""
        if node.args.get("table") is not None or isinstance(node.this, exp.Star):
            return None
        name = self.names.of(node.this)
        return scope.relation(name) if scope.bare(name) is None else None

    def _relation_named(self, node: exp.Column, scope: Scope) -> Relation | None:
        """Return the relation that stands before a column's name."""
        schema = self.names.of(node.args.get("db")) or None
        return scope.relation(self.names.of(node.args["table"]), schema)

    def _scalar(self, found: Relation) -> Flow:
        return UNKNOWN if found.is_open or not found.columns else found.columns[0][1]

    def _all(self, found: Relation) -> Sources:
        return together(flow for _, flow in found.columns).all | found.chosen

    def _branches(self, node: exp.Expr, scope: Scope) -> Flow:
        """Return what flows through branches; their conditions only choose."""
        values, conditions = branches_of(node)
        by = together(self.flow(one, scope) for one in conditions).all
        flow = together(self.flow(one, scope) for one in values).chosen_by(by)
        return flow if isinstance(node, exp.Filter) else flow.made()

    def _ordered(self, node: exp.Order, scope: Scope) -> Flow:
        """Return what is taken in an order; WITHIN GROUP takes what it orders by."""
        by = together(self.flow(one, scope) for one in node.expressions)
        return by if node.this is None else self.flow(node.this, scope).chosen_by(by.all)

    def _window_terms(self, node: exp.Window, scope: Scope) -> list[exp.Expr]:
        """Return what a window divides and orders by, here or under its name."""
        terms = list(node.args.get("partition_by") or ())
        terms += node.args["order"].expressions if node.args.get("order") else ()
        named = scope.windows.get(self.names.of(node.args.get("alias")))
        return terms + (self._window_terms(named, scope) if named and named is not node else [])

    def _name_of(self, node: exp.Expr) -> str:
        """Return the name that a database gives a column, as far as it can be foreseen."""
        match node:
            case exp.Alias():
                return self.names.of(node.args["alias"])
            case exp.Column(this=exp.Identifier()):
                return self.names.of(node.this)
        if self.names.dialect == "mysql":
            return sql_of(node, "mysql")
        match node:
            case (
                exp.Cast() | exp.Paren() | exp.Window() | exp.Filter() | exp.WithinGroup()
                | exp.IgnoreNulls() | exp.RespectNulls()
            ):  # fmt: skip
                return self._name_of(node.this)
            case exp.Subquery(this=exp.Select(expressions=[first, *_])):
                return self._name_of(first)
            case exp.Dot():
                return self.names.of(node.expression)
            case exp.Case():
                return "case"
            case exp.Func() if not isinstance(node, exp.Binary | exp.Connector):
                return re.split(r"[(\[]", sql_of(node, "postgres"))[0]
        return "?column?"


def _all_of(scope: Scope) -> Relation:
    """Return what `*` stands for."""
    opened = [one for one in scope.relations if one.is_open]
    origin = opened[0].origin if len(opened) == 1 else None
    return Relation(scope.star, is_open=bool(opened), origin=origin)


def _merged(node: exp.Join, left: Flow, right: Flow) -> Flow:
    """Return the column that USING makes of two: that of the side whose rows are all kept."""
    if node.side == "FULL":
        return together([left, right]).made()
    return right if node.side == "RIGHT" else left


def _either(left: Flow, right: Flow) -> Flow:
    return together([left, right])


def _left_chosen_by_right(left: Flow, right: Flow) -> Flow:
    return left.chosen_by(right.all)
