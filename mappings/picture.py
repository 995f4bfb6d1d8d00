"""A mapping drawn: source columns left, target fields right, a line for every rule, as SVG.

Plain values in, text out. Whatever is written into the picture is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from common.admin import name_lists

ROW = 34
BOX = 26
TOP = 40
LEFT = 8


@dataclass(frozen=True)
class Size:
    """How wide what is drawn is. `names`, `notes`, `signs` are the characters that fit: whole ones
    show on hovering. A character of a note takes `share` of one of its name.
    """

    width: int
    box: int
    node: int
    names: int
    notes: int
    signs: int
    share: float

    @property
    def right(self) -> int:
        return self.width - self.box - LEFT

    @property
    def node_x(self) -> float:
        return (self.width - self.node) / 2


WIDE = Size(width=860, box=250, node=96, names=26, notes=18, signs=13, share=0.5)
NARROW = Size(width=400, box=140, node=60, names=15, notes=9, signs=8, share=0.9)
"""Both sides fit beside each other on a phone."""


@dataclass(frozen=True)
class Rule:
    """A column mapping; `option` is its delimiter or separator, `row` where a page has it."""

    kind: str
    source_columns: Sequence[str]
    target_fields: Sequence[str]
    option: str | None = None
    row: int | None = None


@dataclass(frozen=True)
class Layout:
    """Where each name stands: the middle of its row. `unmapped` are fields that nothing writes,
    `missing` those that are written and not in the schema, `unread` columns that nothing reads.
    """

    sources: Mapping[str, float]
    targets: Mapping[str, float]
    unmapped: frozenset[str]
    missing: frozenset[str]
    unread: frozenset[str]
    height: int


def layout(rules: Sequence[Rule], fields: Mapping[str, str], columns: Sequence[str] = ()) -> Layout:
    """Place the names: sources in the order of the rules, `fields` (name to type) in their own.

    `columns` are those of the query, where they are known: what no rule reads comes last.
    """
    read = dict.fromkeys(name for rule in rules for name in rule.source_columns)
    sources = dict.fromkeys([*read, *columns])
    written = dict.fromkeys(name for rule in rules for name in rule.target_fields)
    targets = [*fields, *(name for name in written if name not in fields)]
    rows = max(len(sources), len(targets), 1)
    return Layout(
        sources=_spread(list(sources), rows),
        targets=_spread(targets, rows),
        unmapped=frozenset(fields) - frozenset(written),
        missing=frozenset(written) - frozenset(fields),
        unread=frozenset(sources) - frozenset(read),
        height=TOP + rows * ROW + 8,
    )


def _spread(names: list[str], rows: int) -> dict[str, float]:
    """Return the middle of each name's row; the shorter side stands in the middle."""
    first = TOP + (rows - len(names)) * ROW / 2
    return {name: first + index * ROW + ROW / 2 for index, name in enumerate(names)}


def draw(
    rules: Sequence[Rule],
    fields: Mapping[str, str],
    columns: Sequence[str] = (),
    size: Size = WIDE,
) -> str:
    """Return the picture of a mapping as an SVG element; `fields` are the schema's, with types.

    Each box has its `data-name`, that name as a list of names is typed, and the `data-rows` of the
    rules that it belongs to: a page's script makes buttons of them.
    """
    place = layout(rules, fields, columns)
    look = "etl-map etl-narrow" if size is NARROW else "etl-map"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size.width} {place.height}" '
        f'role="img" class="{look}" aria-label="{escaped(describe(rules, place))}">',
        STYLE,
        _heading(LEFT, "Source columns"),
        _heading(size.right, "Target fields"),
    ]
    nodes = _nodes(rules, place)
    for rule, node in zip(rules, nodes, strict=True):
        parts += _lines(rule, place, node, size)
    for rule, node in zip(rules, nodes, strict=True):
        if node is not None:
            parts.append(_node(rule, node, size))
    for name, y in place.sources.items():
        css_class = "unread" if name in place.unread else "source"
        parts.append(_box(size, LEFT, y, name, "", css_class, _rows(rules, name, 0)))
    for name, y in place.targets.items():
        note, css_class = fields.get(name, "not in the schema"), _field_class(name, place)
        parts.append(_box(size, size.right, y, name, note, css_class, _rows(rules, name, 1)))
    return "".join([*parts, "</svg>"])


def describe(rules: Sequence[Rule], place: Layout) -> str:
    """Return the picture in words, for those who cannot see it."""
    said = [
        f"{rule.kind} {', '.join(rule.source_columns)} to {', '.join(rule.target_fields)}"
        for rule in rules
    ]
    lacking = [name for name in place.targets if name in place.unmapped]
    if lacking:
        said.append(f"unmapped: {', '.join(lacking)}")
    return "; ".join(said) or "no column mappings"


def _nodes(rules: Sequence[Rule], place: Layout) -> list[float | None]:
    """Return the height of each split's and join's sign; those of one height move apart."""
    heights = [
        (_middle(rule, place), index) for index, rule in enumerate(rules) if rule.kind != "direct"
    ]
    nodes: list[float | None] = [None] * len(rules)
    last = float("-inf")
    for height, index in sorted(heights):
        last = nodes[index] = max(height, last + BOX + 4)
    return nodes


def _middle(rule: Rule, place: Layout) -> float:
    ends = [place.sources[name] for name in rule.source_columns]
    ends += [place.targets[name] for name in rule.target_fields]
    return sum(ends) / len(ends) if ends else float(TOP)


def _lines(rule: Rule, place: Layout, node: float | None, size: Size) -> Iterable[str]:
    start, end = LEFT + size.box, size.right
    if node is None:
        for source in rule.source_columns:
            for target in rule.target_fields:
                yield _curve(rule, start, place.sources[source], end, place.targets[target])
        return
    for source in rule.source_columns:
        yield _curve(rule, start, place.sources[source], size.node_x, node)
    for target in rule.target_fields:
        yield _curve(rule, size.node_x + size.node, node, end, place.targets[target])


def _curve(rule: Rule, x1: float, y1: float, x2: float, y2: float) -> str:
    bend = (x2 - x1) / 2
    path = f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
    return f'<path class="line {escaped(rule.kind)}" d="{path}"/>'


def _node(rule: Rule, y: float, size: Size) -> str:
    sign = f"{rule.kind} {visible(rule.option)}" if rule.option else rule.kind
    return (
        f'<g class="node {escaped(rule.kind)}"><title>{escaped(sign)}</title>'
        f'<rect x="{size.node_x:g}" y="{y - BOX / 2:g}" width="{size.node}" height="{BOX}" '
        f'rx="13"/>'
        f'<text x="{size.width / 2:g}" y="{y + 4:g}" text-anchor="middle">'
        f"{escaped(cut(sign, size.signs))}</text>"
        "</g>"
    )


def _rows(rules: Sequence[Rule], name: str, side: int) -> str:
    """Return the rows of the rules that read a column (side 0) or write a field (side 1)."""
    ends = [(rule.row, (rule.source_columns, rule.target_fields)[side]) for rule in rules]
    return " ".join(str(row) for row, names in ends if row is not None and name in names)


def _box(size: Size, x: float, y: float, name: str, note: str, css_class: str, rows: str) -> str:
    label = cut("unmapped" if css_class == "unmapped" else note, size.notes)
    text = cut(name, size.names - int(len(label) * size.share))
    return (
        f'<g class="box {css_class}" data-side="{"source" if x == LEFT else "target"}" '
        f'data-name="{escaped(name)}" data-typed="{escaped(name_lists.to_text([name]))}" '
        f'data-rows="{rows}"><title>{escaped(f"{name} {note}".strip())}'
        f"{', unmapped' if css_class == 'unmapped' else ''}</title>"
        f'<rect x="{x:g}" y="{y - BOX / 2:g}" width="{size.box}" height="{BOX}" rx="5"/>'
        f'<text x="{x + 10:g}" y="{y + 4:g}">{escaped(text)}</text>'
        f'<text class="note" x="{x + size.box - 10:g}" y="{y + 4:g}" text-anchor="end">'
        f"{escaped(label)}</text></g>"
    )


def _field_class(name: str, place: Layout) -> str:
    if name in place.unmapped:
        return "unmapped"
    return "missing" if name in place.missing else "target"


def _heading(x: float, text: str) -> str:
    return f'<text class="heading" x="{x:g}" y="20">{text}</text>'


def visible(text: str) -> str:
    """Return a delimiter as one can see it: white space as signs."""
    return text.replace(" ", "␣").replace("\t", "⇥").replace("\n", "↵").replace("\r", "↵")


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def escaped(text: str) -> str:
    """Return text fit for an element or an attribute; characters that XML lacks are dropped."""
    kept = "".join(c for c in text if c >= " " or c in "\t\n" or c == "\r")
    return escape(kept.replace("\ufffe", "").replace("\uffff", ""))


STYLE = (
    "<style>"
    ".etl-map text{font:13px ui-sans-serif,system-ui,sans-serif;fill:var(--etl-text,#1f2937)}"
    ".etl-map .heading{font-size:12px;font-weight:600;fill:var(--etl-quiet,#6b7280)}"
    ".etl-map .note{font-size:11px;fill:var(--etl-quiet,#6b7280)}"
    ".etl-map .box rect{fill:var(--etl-shade,#f9fafb);stroke:var(--etl-line,#d1d5db)}"
    ".etl-map .unread rect{stroke-dasharray:5 3}"
    ".etl-map .unmapped rect{fill:var(--etl-warn-bg,#fef3c7);stroke:var(--etl-warn,#b45309);"
    "stroke-dasharray:5 3}"
    ".etl-map .unmapped .note{fill:var(--etl-warn,#92400e);font-weight:600}"
    ".etl-map .missing rect{fill:var(--etl-bad-bg,#fee2e2);stroke:var(--etl-bad,#991b1b)}"
    ".etl-map .missing .note{fill:var(--etl-bad,#991b1b);font-weight:600}"
    ".etl-map .line{fill:none;stroke-width:2;stroke:var(--etl-quiet,#6b7280)}"
    ".etl-map .line.direct{stroke:#3b82f6}"
    ".etl-map .line.split{stroke:#a855f7}"
    ".etl-map .line.join{stroke:#10b981}"
    ".etl-map .node rect{fill:var(--etl-panel,#fff);stroke-width:2}"
    ".etl-map .node.split rect{stroke:#a855f7}"
    ".etl-map .node.join rect{stroke:#10b981}"
    ".etl-map .node text{font-size:12px;font-weight:600}"
    "</style>"
)
