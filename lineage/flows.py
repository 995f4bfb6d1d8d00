"""What flows into a value: columns of tables, and by what kind of way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum


class Kind(IntEnum):
    """How a value is made of its sources. What is made of several is of the highest kind."""

    CONSTANT = 0
    IDENTITY = 1
    EXPRESSION = 2
    AGGREGATE = 3
    WINDOW = 4
    UNKNOWN = 5


@dataclass(frozen=True, order=True)
class Source:
    """A column of a table; `schema` is None where it is not known."""

    schema: str | None
    table: str
    column: str


Sources = frozenset[Source]


@dataclass(frozen=True)
class Flow:
    """`sources` are columns whose values flow in, `indirect` those that choose rows or branches."""

    kind: Kind
    sources: Sources = frozenset()
    indirect: Sources = frozenset()

    @property
    def all(self) -> Sources:
        return self.sources | self.indirect

    def at_least(self, kind: Kind) -> Flow:
        return self if self.kind >= kind else replace(self, kind=kind)

    def chosen_by(self, columns: Sources) -> Flow:
        """Return the flow with columns that choose which of its values is taken."""
        return self if columns <= self.indirect else replace(self, indirect=self.indirect | columns)

    def made(self) -> Flow:
        """Return the flow of a value that is computed of this one: a constant stays one."""
        return self.at_least(Kind.EXPRESSION) if self.all else self


CONSTANT = Flow(Kind.CONSTANT)
UNKNOWN = Flow(Kind.UNKNOWN)


def together(flows: Iterable[Flow]) -> Flow:
    """Return what flows into a value that takes from all of `flows`."""
    kind, sources, indirect = Kind.CONSTANT, set[Source](), set[Source]()
    for flow in flows:
        kind = max(kind, flow.kind)
        sources |= flow.sources
        indirect |= flow.indirect
    return Flow(kind, frozenset(sources), frozenset(indirect))
