"""Lineage drawn: tables of sources left, what they flow into right, a line for every flow, as SVG.

Plain values in, text out. Whatever is written into the picture is escaped. The lines alone are for
the eye: the page tells the same in a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mappings.picture import cut, escaped

WIDTH = 860
ROW = 28
GAP = 14
BOX_WIDTH = 290
LEFT = 2
RIGHT = WIDTH - BOX_WIDTH - LEFT
LENGTH, TITLE_LENGTH = 38, 32
"""Characters of a row that fit; the whole of it is its link's name, and shows on hovering."""


@dataclass(frozen=True)
class Row:
    """A column or a field; `note` says what there is to say of it, `href` where it leads."""

    name: str
    note: str = ""
    href: str | None = None


@dataclass(frozen=True)
class Group:
    """A table, or a mapping, with its columns or fields by their keys."""

    title: str
    rows: Mapping[object, Row]
    href: str | None = None


@dataclass(frozen=True)
class Line:
    """A flow between the rows of two keys; `kind` is a transformation of lineage."""

    source: object
    target: object
    kind: str


def draw(sources: Sequence[Group], targets: Sequence[Group], lines: Iterable[Line]) -> str:
    """Return the picture as an SVG element; keys are unique on each side."""
    height = max(_height(sources), _height(targets), ROW)
    left, right = _places(sources, height), _places(targets, height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -1 {WIDTH} {height + 2}" role="group" '
        'class="etl-flow" aria-label="Lineage, from source columns to target fields">',
        *(_curve(line, left[line.source], right[line.target]) for line in lines),
        *_groups(sources, LEFT, height),
        *_groups(targets, RIGHT, height),
    ]
    return "".join([*parts, "</svg>"])


def _height(groups: Sequence[Group]) -> int:
    return sum(ROW * (1 + len(group.rows)) for group in groups) + GAP * max(len(groups) - 1, 0)


def _tops(groups: Sequence[Group], height: int) -> Iterator[tuple[float, Group]]:
    """Yield the top of each group; the shorter side stands in the middle."""
    top = (height - _height(groups)) / 2
    for group in groups:
        yield top, group
        top += ROW * (1 + len(group.rows)) + GAP


def _places(groups: Sequence[Group], height: int) -> dict[object, float]:
    """Return the middle of each row."""
    return {
        key: top + ROW * (index + 1.5)
        for top, group in _tops(groups, height)
        for index, key in enumerate(group.rows)
    }


def _groups(groups: Sequence[Group], x: float, height: int) -> Iterator[str]:
    for top, group in _tops(groups, height):
        tall = ROW * (1 + len(group.rows))
        yield f'<g class="group"><rect x="{x:g}" y="{top:g}" width="{BOX_WIDTH}" '
        yield f'height="{tall}" rx="5"/>'
        yield _row(Row(group.title, href=group.href), x, top, "title")
        for index, row in enumerate(group.rows.values()):
            yield _row(row, x, top + ROW * (index + 1), "row")
        yield "</g>"


def _row(row: Row, x: float, top: float, css_class: str) -> str:
    middle = top + ROW / 2 + 4
    length = TITLE_LENGTH if css_class == "title" else LENGTH
    name = cut(row.name, length - (len(row.note) + 2 if row.note else 0))
    text = (
        f"<title>{escaped(f'{row.name} {row.note}'.strip())}</title>"
        f'<rect class="{css_class}" x="{x + 1:g}" y="{top + 1:g}" width="{BOX_WIDTH - 2}" '
        f'height="{ROW - 2}" rx="4"/>'
        f'<text class="{css_class}" x="{x + 10:g}" y="{middle:g}">{escaped(name)}</text>'
        f'<text class="note" x="{x + BOX_WIDTH - 10:g}" y="{middle:g}" text-anchor="end">'
        f"{escaped(row.note)}</text>"
    )
    if row.href is None:
        return f"<g>{text}</g>"
    said = f"{row.name}, {row.note}" if row.note else row.name
    return f'<a href="{escaped(row.href)}" aria-label="{escaped(said)}">{text}</a>'


def _curve(line: Line, y1: float, y2: float) -> str:
    x1, x2 = LEFT + BOX_WIDTH, RIGHT
    middle = (x1 + x2) / 2
    path = f"M{x1} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2} {y2:g}"
    return f'<path class="flow {escaped(line.kind)}" d="{path}"/>'
